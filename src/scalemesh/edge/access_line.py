"""From a worker's counts to its keeper's spool: each batch is sent until the keeper has it, and is kept there once.

Lines on the socket of `misses`:
worker → keeper   `access <worker> <number> <AccessRows as JSON>`, numbers rising from 1; `lost <worker> <requests>`
keeper → worker   `access <number>`: everything up to here is in the spool
"""

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import Callable
from secrets import token_hex

from scalemesh.core.documents import encode
from scalemesh.edge.access import Rows
from scalemesh.edge.access_spool import AccessSpool

log = logging.getLogger(__name__)

AGAIN_S = 1.0  # before a worker sends again what the disk did not take
MAX_WAITING_BYTES = 2 * 1024 * 1024  # in a worker whose keeper is away
LINE_BYTES = 1024 * 1024


class AccessSender:
    """The worker's end. Without a keeper it holds on to MAX_WAITING_BYTES; what goes beyond is counted as lost."""

    def __init__(self) -> None:
        self._worker = token_hex(8)
        self._number = 0
        self._lost = 0
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self._write: Callable[[bytes], None] | None = None
        self._empty = asyncio.Event()
        self._empty.set()

    def ship(self, batches: Rows) -> None:
        for rows in batches:
            line = f"access {self._worker} {self._number + 1} ".encode() + encode(rows) + b"\n"
            if self._bytes + len(line) > MAX_WAITING_BYTES:
                self._lost += sum(total.requests for total in rows.totals)
                self._tell(self._lost_line())
                continue
            self._number += 1
            self._waiting.append((self._number, line))
            self._bytes += len(line)
            self._empty.clear()
            self._tell(line)

    def connected(self, write: Callable[[bytes], None]) -> None:
        """A keeper listens (again): it gets all that none has confirmed."""
        self._write = write
        if self._lost:
            write(self._lost_line())
        for _, line in self._waiting:
            write(line)

    def disconnected(self) -> None:
        self._write = None

    def confirmed(self, number: int) -> None:
        while self._waiting and self._waiting[0][0] <= number:
            self._bytes -= len(self._waiting.popleft()[1])
        if not self._waiting:
            self._empty.set()

    async def finish(self, timeout_s: float) -> None:
        """Before the worker ends: give the keeper a moment to confirm."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._empty.wait()
        except TimeoutError:
            return  # the keeper is away: nobody is left to tell

    def _lost_line(self) -> bytes:
        return f"lost {self._worker} {self._lost}\n".encode()

    def _tell(self, line: bytes) -> None:
        if self._write is not None:
            self._write(line)


class AccessReceiver:
    """The keeper's end; `take` answers what to write back. Raises ConnectionError where the disk takes nothing."""

    def __init__(self, spool: AccessSpool) -> None:
        self._spool = spool

    async def take(self, line: bytes) -> bytes:
        try:
            return await asyncio.to_thread(self._keep, line)
        except sqlite3.OperationalError as error:
            log.warning("access records cannot be kept: %s", error)
            await asyncio.sleep(AGAIN_S)
            raise ConnectionError("The worker has to send these again.") from error

    def _keep(self, line: bytes) -> bytes:
        kind, worker, rest = line.rstrip(b"\n").split(b" ", 2)
        if kind == b"lost":
            self._spool.lost(worker.decode(), int(rest))
            return b""
        number, _, rows = rest.partition(b" ")
        self._spool.add(worker.decode(), int(number), rows)
        return b"access " + number + b"\n"
