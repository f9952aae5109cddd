"""A real edge: keeper and workers as subprocesses, a feed server of RouteSnapshots, an artifact store on disk."""

import asyncio
import contextlib
import gzip
import hashlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

import brotli
import zstandard

from scalemesh.core.build import BlobRef
from scalemesh.core.documents import encode
from scalemesh.core.manifest import Entry, Manifest, Rules
from scalemesh.core.routes import Route, RouteSnapshot

TEAM = "team_1"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".bin": "application/octet-stream",
}
DEADLINE_S = 20.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Store:
    """Blobs as artifacts.store lays them out on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, sha256: str) -> Path:
        return self.folder / "blobs" / TEAM / sha256[:2] / sha256

    def put(self, data: bytes) -> BlobRef:
        sha256 = hashlib.sha256(data).hexdigest()
        self.path(sha256).parent.mkdir(parents=True, exist_ok=True)
        self.path(sha256).write_bytes(data)
        return BlobRef(sha256=sha256, size=len(data))

    def manifest(self, files: dict[str, bytes], rules: Rules | None = None, *, compress: bool = True) -> BlobRef:
        entries = {path: self._entry(path, data, compress=compress) for path, data in files.items()}
        return self.put(encode(Manifest(files=entries, rules=rules or Rules())))

    def _entry(self, path: str, data: bytes, *, compress: bool) -> Entry:
        small = not compress or len(data) < 512 or path.endswith(".bin")
        return Entry(
            identity=self.put(data),
            type=TYPES.get(Path(path).suffix, "text/plain; charset=utf-8"),
            br=None if small else self.put(brotli.compress(data, quality=5)),
            zstd=None if small else self.put(zstandard.compress(data, 9)),
            gzip=None if small else self.put(gzip.compress(data, 6, mtime=0)),
            immutable=path.startswith("/assets/"),
        )


class FeedServer:
    """`GET /v1/edge/routes?after=V&wait=S` over real HTTP. `acknowledged` is the highest version asked after.

    `on_access` gets the bodies of `POST /v1/edge/access` and answers a status; 0 breaks the connection off instead.
    """

    def __init__(self) -> None:
        self.on_access: Callable[[bytes], Awaitable[int]] = _take
        self.port = free_port()
        self.project = "prj_1"
        self.version = 0
        self.routes: dict[str, Route] = {}
        self.acknowledged = -1
        self.polls = 0
        self._changed = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in list(self._writers):
                writer.transport.abort()
            self._server = None

    async def publish(self, host: str, manifest: BlobRef | None, *, production: bool = True) -> int:
        async with self._changed:
            self.version += 1
            self.routes[host] = Route(
                host=host,
                version=self.version,
                team=TEAM,
                project=self.project,
                deployment="dpl_1",
                manifest=manifest,
                production=production,
            )
            self._changed.notify_all()
            return self.version

    async def until_acknowledged(self, version: int) -> None:
        async with self._changed, asyncio.timeout(DEADLINE_S):
            await self._changed.wait_for(lambda: self.acknowledged >= version)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                match = re.match(rb"GET /v1/edge/routes\?after=(\d+)&wait=(\d+) HTTP/1.1\r\n", head)
                if head.startswith(b"POST /v1/edge/access "):
                    await self._access(head, reader, writer)
                    continue
                if match is None or b"Authorization: Bearer sme_test\r\n" not in head:
                    writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                    continue
                body = encode(await self._snapshot(int(match[1]), int(match[2])))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            return  # asyncio's streams log a cancelled handler as an error
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _access(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = re.search(rb"Content-Length: (\d+)\r\n", head)
        assert size is not None
        status = await self.on_access(await reader.readexactly(int(size[1])))
        if not status:
            raise ConnectionResetError
        writer.write(b"HTTP/1.1 %d Whatever\r\nContent-Length: 0\r\n\r\n" % status)

    async def _snapshot(self, after: int, wait_s: int) -> RouteSnapshot:
        async with self._changed:
            self.polls += 1
            self.acknowledged = max(self.acknowledged, after)
            self._changed.notify_all()
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait_for(lambda: self.version > after)
            except TimeoutError:
                pass
            routes = [route for route in self.routes.values() if route.version > after]
            return RouteSnapshot(version=self.version, routes=routes)


async def _take(_: bytes) -> int:
    return 204


class Answer:
    def __init__(self, raw: bytes, body: bytes) -> None:
        lines = raw.decode("latin-1").split("\r\n")
        self.status = int(lines[0].split(" ")[1])
        self.headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:] if line)}
        self.body = body


class Wire:
    """A raw connection to a port, or to a unix socket: bytes out, answers in."""

    def __init__(self, address: int | Path, *, receive_buffer: int = 0) -> None:
        self.socket = socket.socket(socket.AF_INET if isinstance(address, int) else socket.AF_UNIX)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(DEADLINE_S)
        try:
            self.socket.connect(("127.0.0.1", address) if isinstance(address, int) else str(address))
        except OSError:
            self.socket.close()
            raise
        self._buffer = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self, *, method: str = "GET") -> Answer:
        while b"\r\n\r\n" not in self._buffer:
            self._receive()
        raw, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        answer = Answer(raw, b"")
        size = 0 if method == "HEAD" or answer.status in {204, 304} else int(answer.headers["content-length"])
        while len(self._buffer) < size:
            self._receive()
        answer.body, self._buffer = self._buffer[:size], self._buffer[size:]
        return answer

    def closed(self) -> bool:
        """Waits for the end; True if nothing came before it."""
        try:
            return not self._buffer and self.socket.recv(1) == b""
        except ConnectionResetError:
            return not self._buffer

    def _receive(self) -> None:
        data = self.socket.recv(1 << 20)
        if not data:
            raise ConnectionResetError(f"closed after {self._buffer[:200]!r}")
        self._buffer += data

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Edge:
    """The keeper as a subprocess, and a client for it."""

    def __init__(
        self,
        data: Path,
        store: Store,
        feed_port: int,
        workers: int = 1,
        environ: Mapping[str, str] | None = None,
        command: Sequence[str] = (sys.executable, "-m", "scalemesh.main.edge"),
    ) -> None:
        self.data = data
        self._command = command
        self.port = free_port()
        self._environ = {
            **os.environ,
            "SCALEMESH_DATA_DIR": str(data),
            "SCALEMESH_EDGE_PORT": str(self.port),
            "SCALEMESH_EDGE_WORKERS": str(workers),
            "SCALEMESH_EDGE_TOKEN": "sme_test",
            "SCALEMESH_STORAGE_URL": f"file://{store.folder}",
            "SCALEMESH_INTERNAL_URL": f"http://127.0.0.1:{feed_port}",
            **(environ or {}),
        }
        self.process: subprocess.Popen[bytes] | None = None
        self._orphans: list[int] = []

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, env=self._environ)
        self.until(lambda: self.get("/", "nobody.localhost") is not None)

    def until(self, happened: Callable[[], object]) -> None:
        """Asks again and again: the edge is a black box here."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                if happened():
                    return
            except ConnectionError:
                assert self.process is None or self.process.poll() is None, "the keeper has ended"
            assert time.monotonic() < deadline, "it did not happen in time"
            time.sleep(0.02)

    def blobs(self) -> list[Path]:
        return list((self.data / "edge" / "blobs").glob("*/*/*"))

    def workers(self) -> list[int]:
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children]

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        if number == signal.SIGKILL:
            self._orphans += self.workers()
        self.process.send_signal(number)
        status = self.process.wait(timeout=DEADLINE_S)
        self.process = None
        return status

    def clean(self) -> None:
        """Leave no process behind, whatever a test did."""
        if self.process is not None:
            self.stop()
        for pid in self._orphans:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def refused(self, port: int) -> str:
        """What the keeper says on its way out, when it may not start on `port`."""
        environ = self._environ | {"SCALEMESH_EDGE_PORT": str(port)}
        done = subprocess.run(
            self._command, env=environ, capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )
        assert done.returncode == 2
        return done.stderr

    def connect(self, *, receive_buffer: int = 0) -> Wire:
        return Wire(self.port, receive_buffer=receive_buffer)

    def get(self, path: str, host: str = "blog.localhost", *, method: str = "GET", **headers: str) -> Answer:
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        with self.connect() as wire:
            wire.send(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n".encode())
            return wire.answer(method=method)
