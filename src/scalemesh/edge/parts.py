"""Ranges of a large file that is not on this machine: the keeper reads just these bytes from the store.

worker → keeper   `part <team> <sha256> <size> <start> <end>`, on a connection of its own
keeper → worker   `ok`, then the bytes and the end; or the end at once
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec

from scalemesh.core.access import Cache
from scalemesh.core.build import BlobRef
from scalemesh.edge.blobs import Blobs
from scalemesh.edge.responses import CLIENT_LEFT, NO_BLOB, Response
from scalemesh.errors import Unavailable

log = logging.getLogger(__name__)

COMMAND = b"part "
WHOLE_BYTES = 1024 * 1024  # what is no larger is fetched, verified and kept
PIECE_S = 30.0  # without a byte
_OK = b"ok\n"
_READ_BYTES = 256 * 1024


async def serve_part(blobs: Blobs, line: bytes, writer: asyncio.StreamWriter) -> None:
    """The keeper's end; the caller closes the connection."""
    _, team, sha256, size, start, end = line.decode().split()
    ref = BlobRef(sha256=sha256, size=int(size))
    async with contextlib.aclosing(blobs.part(team, ref, int(start), int(end))) as pieces:
        try:
            begun = False
            async for piece in pieces:
                writer.write(piece if begun else _OK + piece)
                begun = True
                await writer.drain()
        except Unavailable as error:
            log.warning("part missing team=%s reason=%s", team, error)


class PartReader:
    """A worker's end."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def read(self, team: str, ref: BlobRef, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """The bytes from `start` up to `end` (not included). Raises Unavailable, also after some of them."""
        left = end - start
        try:
            reader, writer = await asyncio.open_unix_connection(self._path)
            with contextlib.closing(writer):
                writer.write(COMMAND + f"{team} {ref.sha256} {ref.size} {start} {end}\n".encode())
                await asyncio.wait_for(reader.readexactly(len(_OK)), PIECE_S)
                while left and (data := await asyncio.wait_for(reader.read(min(left, _READ_BYTES)), PIECE_S)):
                    left -= len(data)
                    yield data
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            raise Unavailable(f"No part of {ref.sha256[:12]}: {error or type(error).__name__}") from error
        if left:
            raise Unavailable(f"The end of a part of {ref.sha256[:12]} is missing.")


class Part(msgspec.Struct, frozen=True):
    """What serving wants sent: a 206's header lines, and the bytes that belong to them."""

    head: bytes
    team: str
    ref: BlobRef
    start: int
    end: int


class PartAnswer:
    """One Part on its way to a client, as upstream.exchange.Exchange is one answer of another site."""

    cache: Cache = "miss"

    def __init__(
        self, reader: PartReader, part: Part, status_line: bytes, transport: asyncio.Transport, *, close: bool
    ) -> None:
        self._part = part
        self._bytes = reader.read(part.team, part.ref, part.start, part.end)
        self._head = status_line + part.head
        self._transport = transport
        self.room = asyncio.Event()
        self.room.set()
        self.status = CLIENT_LEFT
        self.sent = 0
        self.broken = False
        self.closes = close

    async def answer(self) -> Response | None:
        try:
            async with contextlib.aclosing(self._bytes) as pieces:
                async for data in pieces:
                    self._write(data)
                    await self.room.wait()
        except Unavailable as error:
            log.warning("part not sent team=%s reason=%s", self._part.team, error)
            self.broken = self.sent > 0
            return NO_BLOB
        return None

    def _write(self, data: bytes) -> None:
        if not self.sent:
            self.status = 206
            self._transport.write(self._head)
        self._transport.write(data)
        self.sent += len(data)
