"""A head and then a part of a file, by sendfile: no byte of the file passes through this process.

uvloop has no `sendfile`. What works: wait until the transport's buffer is empty, then write on a duplicate of its
descriptor, and wait for room with `add_writer` on that duplicate.
"""

import asyncio
import contextlib
import functools
import os
import socket
from typing import Protocol

from scalemesh.edge.responses import FileSlice

_AT_ONCE_BYTES = 1024 * 1024  # then others get their turn


class Done(Protocol):
    def __call__(self, *, whole: bool) -> None: ...


class FileSender:
    """`start` may be called again and does nothing then; `done` is called once, never from within `start`, and not
    after `abandon`."""

    __slots__ = ("_blob", "_done", "_head", "_loop", "_offset", "_socket", "_transport", "left")

    def __init__(
        self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport, head: bytes, part: FileSlice, done: Done
    ) -> None:
        self._loop = loop
        self._transport = transport
        self._head = head
        self._blob = part.blob
        self._offset = part.start
        self.left = part.length
        self._done = done
        self._socket: socket.socket | None = None

    def start(self) -> None:
        """Begin as soon as nothing is buffered before this; the protocol's `resume_writing` calls again."""
        if self._socket is not None:
            return
        if self._transport.get_write_buffer_size() > 0:
            self._transport.set_write_buffer_limits(high=0)
            return
        fd = os.dup(self._transport.get_extra_info("socket").fileno())
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, fd)
        self._push(self._socket)

    def _push(self, to: socket.socket) -> None:
        try:
            self._send_some(to)
        except BlockingIOError:
            self._loop.add_writer(to, self._push, to)
        except OSError:  # the client went away, or the file cannot be read: the connection is of no use any more
            self._finish(whole=False)

    def _send_some(self, to: socket.socket) -> None:
        while self._head:
            self._head = self._head[to.send(self._head, socket.MSG_MORE | socket.MSG_NOSIGNAL) :]
        budget = _AT_ONCE_BYTES
        while self.left and budget > 0:
            sent = os.sendfile(to.fileno(), self._blob.fd, self._offset, min(self.left, budget))
            if sent == 0:  # the file became shorter
                self._finish(whole=False)
                return
            self._offset += sent
            self.left -= sent
            budget -= sent
        if self.left:
            self._loop.add_writer(to, self._push, to)
        else:
            self._finish(whole=True)

    def _finish(self, *, whole: bool) -> None:
        self.abandon()
        with contextlib.suppress(RuntimeError):  # a closed transport has no limits any more
            self._transport.set_write_buffer_limits()
        self._loop.call_soon(functools.partial(self._done, whole=whole))

    def abandon(self) -> None:
        """Stop and let go of the descriptor."""
        if self._socket is not None:
            self._loop.remove_writer(self._socket)
            self._socket.close()
            self._socket = None
