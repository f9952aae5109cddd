"""`scalemesh up` as a subprocess."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

START_S = 30


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(look: Callable[[], bool], what: str, within_s: float = START_S) -> None:
    deadline = time.monotonic() + within_s
    while not look():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.02)


@dataclass
class Up:
    data: Path
    env: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    api_port: int = field(default_factory=free_port)
    edge_port: int = field(default_factory=free_port)
    process: subprocess.Popen[str] | None = None
    stdin: int = subprocess.DEVNULL

    def start(self) -> "Up":
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SCALEMESH_")}
        log = self.data.with_suffix(".log").open("a")
        self.process = subprocess.Popen(
            self.argv(), env=kept | self.env, stdin=self.stdin, stdout=log, stderr=log, text=True
        )
        log.close()
        return self

    def argv(self) -> list[str]:
        ports = [f"--api-port={self.api_port}", f"--edge-port={self.edge_port}"]
        return [sys.executable, "-m", "scalemesh.main.up", f"--data-dir={self.data}", *ports, *self.options]

    def refused(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.argv(), capture_output=True, text=True, timeout=START_S, check=False)

    def answers(self, port: int, path: str) -> int:
        """The status; 0 while nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    def ready(self) -> "Up":
        eventually(lambda: self.answers(self.api_port, "/readyz") == 200, f"the API: {self.log()}")
        eventually(lambda: self.answers(self.edge_port, "/") > 0, f"the edge: {self.log()}")
        return self

    def log(self) -> str:
        return self.data.with_suffix(".log").read_text()

    def pid(self, child: str) -> int:
        return int(json.loads((self.data / "run" / f"{child}.json").read_text())["pid"])

    def children(self, child: str) -> list[int]:
        """The processes that a child of the supervisor has started itself."""
        pid = self.pid(child)
        return [int(found) for found in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def stop(self, number: int = signal.SIGINT) -> int:
        assert self.process
        self.process.send_signal(number)
        return self.process.wait(10)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    made = Up(tmp_path / "data")
    yield made
    if made.process and made.process.poll() is None:
        made.stop()
