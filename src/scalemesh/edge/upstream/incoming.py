"""What a client sends while its request is already passed on: bounded, because the connection stops reading."""

import asyncio
from collections import deque
from collections.abc import Callable

HIGH_BYTES = 64 * 1024


class BrokenOff(Exception):
    """A body will not come in whole; its request is answered with `status`."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Incoming:
    """A request's body, or all that follows an upgrade. `on_room` is called once `full` has ended. One reader."""

    __slots__ = ("_broken", "_chunks", "_on_room", "_size", "_waiter", "complete", "total")

    def __init__(self, on_room: Callable[[], None]) -> None:
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._waiter: asyncio.Future[None] | None = None
        self._on_room = on_room
        self._broken: BrokenOff | None = None
        self.complete = False
        self.total = 0

    @property
    def full(self) -> bool:
        return self._size >= HIGH_BYTES

    def feed(self, data: bytes) -> None:
        if not data:
            return
        self._chunks.append(data)
        self._size += len(data)
        self.total += len(data)
        self._wake()

    def end(self) -> None:
        self.complete = True
        self._wake()

    def break_off(self, status: int) -> None:
        self._broken = BrokenOff(status)
        self._wake()

    async def read(self) -> bytes:
        """Some bytes; none at the end. Raises BrokenOff, whatever came before."""
        while not self._chunks and not self.complete and self._broken is None:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self._broken is not None:
            raise self._broken
        if not self._chunks:
            return b""
        was_full = self.full
        data = b"".join(self._chunks)
        self._chunks.clear()
        self._size = 0
        if was_full:
            self._on_room()
        return data

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
