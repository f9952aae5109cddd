"""uvicorn's WebSockets, but the frames of one turn of the event loop leave with one system call.

A batch of a build's log is a frame a line, and a system call for each cost more than everything else about it.
"""

import asyncio
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

_FULL_BYTES = 64 * 1024


class GatheringWebSockets(WebSocketsSansIOProtocol):
    """For uvicorn's `ws`."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        gathering: Any = _Gathering(transport, self.loop)
        super().connection_made(gathering)


class _Gathering:
    """The transport; what is written waits until the event loop comes round, or there is much of it."""

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._waiting: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._waiting:
            self._loop.call_soon(self._flush)
        self._waiting.append(data)
        self._size += len(data)
        if self._size >= _FULL_BYTES:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._waiting:
            data, self._waiting, self._size = b"".join(self._waiting), [], 0
            self._transport.write(data)
