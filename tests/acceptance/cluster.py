"""The platform as processes of their own over real engines: APIs, dispatchers, a pump and an edge."""

import asyncio
import base64
import contextlib
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import httpx

from scalemesh.testing.engines import Postgres, postgres
from scalemesh.testing.log_engines import BrokerEngine, ClickHouseEngine, RedisEngine
from scalemesh.testing.s3 import S3Server, s3_server
from tests.acceptance.harness import Platform, eventually, free_port


@dataclass
class Cluster(Platform):
    """As Platform, which it can stand in for; `parts` are its processes by name: api-0, dispatcher-1, pump, edge.

    Each API has a port, each dispatcher a data folder, and an API that its builds talk to.
    """

    replicas: int = 2
    parts: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ports: list[int] = field(default_factory=list)
    database: Postgres | None = None
    store: S3Server | None = None
    bus: BrokerEngine | None = None

    def __post_init__(self) -> None:
        self.data.mkdir(parents=True)
        self.data.chmod(0o755)
        self.ports = [self.api_port, *(free_port() for _ in range(self.replicas - 1))]
        self.env = {
            "SCALEMESH_SECRET_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
            "SCALEMESH_STORAGE_URL": f"file://{self.data}/store",
            "SCALEMESH_LOG_ARCHIVE_URL": f"sqlite:///{self.data}/logs.db",
            "SCALEMESH_EDGE_TOKEN": f"sme_{secrets.token_hex(24)}",
            "SCALEMESH_SITES_URL": f"http://*.localhost:{self.edge_port}",
        } | self.env
        (self.data / "store").mkdir()

    @property
    def names(self) -> Sequence[str]:
        numbered = [f"{kind}-{n}" for kind in ("api", "dispatcher") for n in range(self.replicas)]
        return [*numbered, "pump", "edge"]

    @property
    def log(self) -> Path:
        return self.data / "parts.log"

    def start(self) -> Self:
        for name in self.names:
            self.start_part(name)
        return self.start_is_ready()

    def start_part(self, name: str) -> None:
        kind, _, number = name.partition("-")
        port = self.ports[int(number or 0)]
        argv: list[str | Path] = [self.scalemesh, "serve", kind, "--data-dir", self.data / name]
        argv += ["--api-port", str(port)] if kind == "api" else []
        argv += ["--edge-port", str(self.edge_port)] if kind == "edge" else []
        (self.data / name).mkdir(exist_ok=True)
        own = {"SCALEMESH_INTERNAL_URL": f"http://127.0.0.1:{port}"}
        with self.log.open("ab") as log:
            self.parts[name] = subprocess.Popen(argv, env=self.environment() | own, stdout=log, stderr=log)

    def kill_part(self, name: str) -> None:
        """`kill -9`; what it started goes on."""
        self.parts[name].send_signal(signal.SIGKILL)
        self.parts[name].wait(10)

    def pause_part(self, name: str, seconds: float) -> None:
        """As a machine that stands still; afterwards it goes on with what it believed before."""
        self.parts[name].send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.parts[name].send_signal(signal.SIGCONT)

    def revive(self) -> None:
        """Whatever was killed is started again, as an init system would."""
        for name in self.names:
            if self.parts[name].poll() is not None:
                self.start_part(name)

    def _is_ready(self) -> bool:
        ended = {name: part.returncode for name, part in self.parts.items() if part.poll() is not None}
        assert not ended, f"{ended}: {self.log.read_text()[-4000:]}"
        try:
            ready = [httpx.get(f"http://localhost:{port}/readyz", timeout=5).is_success for port in self.ports]
            return all(ready) and bool(self.get("nothing.localhost", "/"))
        except (httpx.HTTPError, OSError):
            return False

    def start_is_ready(self) -> Self:
        eventually(self._is_ready, within_s=90, what=f"every part; {self.log} says why")
        return self

    def stop(self) -> float:
        started = time.monotonic()
        for part in self.parts.values():
            with contextlib.suppress(ProcessLookupError):
                part.send_signal(signal.SIGCONT)
                part.send_signal(signal.SIGINT)
        for part in self.parts.values():
            try:
                part.wait(20)
            except subprocess.TimeoutExpired:
                part.kill()
                raise
        return time.monotonic() - started

    def builds(self) -> Iterator[Path]:
        """The folders of builds, of every dispatcher."""
        yield from self.data.glob("dispatcher-*/builds/att_*")


@contextmanager
def open_cluster(
    scalemesh: Path,
    folder: Path,
    *,
    bus: type[BrokerEngine] = RedisEngine,
    with_s3: bool = False,
    with_clickhouse: bool = False,
    **env: str,
) -> Iterator[Cluster]:
    """Started and set up, on servers of its own; its sites in a folder, or in S3, its logs in SQLite, or ClickHouse."""
    with ExitStack() as stack:
        database = stack.enter_context(postgres())
        urls = {"SCALEMESH_DATABASE_URL": asyncio.run(database.empty())}
        (folder / "bus").mkdir(parents=True)
        broker = stack.enter_context(bus(folder / "bus"))
        urls["SCALEMESH_LOG_BUS_URL"] = broker.url
        if with_clickhouse:
            (folder / "clickhouse").mkdir()
            urls["SCALEMESH_LOG_ARCHIVE_URL"] = stack.enter_context(ClickHouseEngine(folder / "clickhouse")).url
        store = None
        if with_s3:
            (folder / "s3").mkdir()
            store = stack.enter_context(s3_server(folder / "s3"))
            store.create_bucket("sites")
            urls |= {"SCALEMESH_STORAGE_URL": "s3://sites/chaos", **store.env()}
        cluster = Cluster(scalemesh, folder / "cluster", env=urls | env, database=database, store=store, bus=broker)
        stack.callback(cluster.stop)
        yield cluster.start().set_up()


def extras(scalemesh: Path) -> None:
    """What the parts need beyond a plain installation: `scalemesh[clickhouse,kafka,postgres,redis,s3]`."""
    pip: list[str | Path] = [
        scalemesh.with_name("python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "-c",
        Path(__file__).parents[2] / "constraints.txt",
        "aiokafka",
        "asyncpg",
        "clickhouse-connect[async]",
        "redis",
        "botocore",
    ]
    subprocess.run(pip, check=True)
