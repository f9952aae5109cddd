"""Workers ask the keeper for blobs, and bring it their access records, over a unix socket, in lines.

worker → keeper   `hello <slot>`, then `<team> <sha256> <size>` each time that it lacks one
keeper → worker   `<team> <sha256> ok|failed`; `drain`: finish and exit, another worker has your place
both ways         `access …`, `lost …`: see access_line; a connection that begins with `part …`: see parts
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Self

from scalemesh.core.build import BlobRef
from scalemesh.edge.access_line import LINE_BYTES, AccessReceiver, AccessSender
from scalemesh.edge.blobs import Blobs
from scalemesh.edge.parts import COMMAND, serve_part
from scalemesh.errors import Unavailable

log = logging.getLogger(__name__)

ANSWER_S = 15.0
RECONNECT_S = 0.1


class MissServer:
    """The keeper's end. `on_worker(slot, drain)` is told of each worker that says hello, and how to send it away."""

    def __init__(
        self,
        path: Path,
        blobs: Blobs,
        on_worker: Callable[[str, Callable[[], None]], None],
        access: AccessReceiver | None = None,
    ) -> None:
        self._path = path
        self._blobs = blobs
        self._on_worker = on_worker
        self._access = access
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._path, limit=LINE_BYTES)
        self._path.chmod(0o600)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for writer in self._writers:
            writer.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while line := await reader.readline():
                if line.startswith(COMMAND):
                    await serve_part(self._blobs, line, writer)
                    break
                if not line.startswith((b"access ", b"lost ")):
                    self._take(line.decode().split(), writer)
                elif self._access is not None:
                    writer.write(await self._access.take(line))
        except ConnectionError:
            log.info("a worker went away")
        finally:
            self._writers.discard(writer)
            writer.close()

    def _take(self, words: list[str], writer: asyncio.StreamWriter) -> None:
        if words[0] == "hello":
            self._on_worker(words[1], lambda: writer.write(b"drain\n"))
            return
        team, sha256, size = words
        task = asyncio.create_task(self._answer(team, BlobRef(sha256=sha256, size=int(size)), writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, team: str, ref: BlobRef, writer: asyncio.StreamWriter) -> None:
        try:
            await self._blobs.ensure(team, ref)
            outcome = "ok"
        except Unavailable as error:
            log.warning("blob missing team=%s reason=%s", team, error)
            outcome = "failed"
        if not writer.is_closing():
            writer.write(f"{team} {ref.sha256} {outcome}\n".encode())


class MissClient:
    """A worker's end: reconnects for as long as it runs, and asks again what was under way."""

    def __init__(
        self,
        path: Path,
        slot: str,
        on_drain: Callable[[], None],
        on_alone: Callable[[bool], None],
        access: AccessSender,
    ) -> None:
        self._path = path
        self._access = access
        self._slot = slot
        self._on_drain = on_drain
        self._on_alone = on_alone
        self._waiting: dict[tuple[str, str], tuple[BlobRef, asyncio.Future[bool]]] = {}
        self._writer: asyncio.StreamWriter | None = None

    async def fetch(self, team: str, ref: BlobRef) -> bool:
        """Whether the blob is now on disk with the right bytes. One question however many wait for the answer."""
        key = (team, ref.sha256)
        if key not in self._waiting:
            self._waiting[key] = (ref, asyncio.get_running_loop().create_future())
            self._ask(team, ref)
        _, answer = self._waiting[key]
        try:
            async with asyncio.timeout(ANSWER_S):
                return await asyncio.shield(answer)
        except TimeoutError:
            self._waiting.pop(key, None)
            return False

    async def run(self) -> None:
        """Stay connected; ends only by cancellation."""
        while True:
            with contextlib.suppress(ConnectionError, FileNotFoundError):  # the keeper restarts: try again
                await self._session()
            self._writer = None
            self._on_alone(True)
            await asyncio.sleep(RECONNECT_S)

    async def _session(self) -> None:
        reader, self._writer = await asyncio.open_unix_connection(self._path)
        try:
            self._on_alone(False)
            self._writer.write(f"hello {self._slot}\n".encode())
            for (team, _), (ref, _) in list(self._waiting.items()):
                self._ask(team, ref)
            self._access.connected(self._writer.write)
            while line := await reader.readline():
                self._take(line.decode().split())
        finally:
            self._access.disconnected()
            self._writer.close()

    def _ask(self, team: str, ref: BlobRef) -> None:
        if self._writer is not None:
            self._writer.write(f"{team} {ref.sha256} {ref.size}\n".encode())

    def _take(self, words: list[str]) -> None:
        if words == ["drain"]:
            self._on_drain()
            return
        if words[0] == "access":
            self._access.confirmed(int(words[1]))
            return
        team, sha256, outcome = words
        waiting = self._waiting.pop((team, sha256), None)
        if waiting is not None and not waiting[1].done():
            waiting[1].set_result(outcome == "ok")
