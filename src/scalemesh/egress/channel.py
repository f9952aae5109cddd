"""Small messages with descriptors over a SOCK_SEQPACKET pair: one message, one JSON object, whole or not at all.

Anything large travels in a memfd. Stdlib only: the program inside the namespaces uses it too.
"""

import array
import json
import os
import socket
from collections.abc import Sequence
from typing import Any

MAX_MESSAGE_BYTES = 16 * 1024
MAX_FDS = 4

Message = dict[str, Any]


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends, neither inheritable."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(sock: socket.socket, message: Message, fds: Sequence[int] = ()) -> None:
    """Raises BlockingIOError when a non-blocking socket is full and OSError when the other end is gone."""
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sock.sendmsg([json.dumps(message).encode()], ancillary, socket.MSG_NOSIGNAL)


def receive(sock: socket.socket) -> tuple[Message, list[int]] | None:
    """The next message and its descriptors, which now belong to the caller; None at the end."""
    data, fds, _flags, _address = socket.recv_fds(sock, MAX_MESSAGE_BYTES, MAX_FDS)
    for fd in fds:
        os.set_inheritable(fd, False)
    return (json.loads(data), list(fds)) if data else None


def memfd(name: str, data: bytes) -> int:
    """A descriptor from which `data` can be read, at offset 0."""
    fd = os.memfd_create(name)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        os.lseek(fd, 0, os.SEEK_SET)
    except BaseException:
        os.close(fd)
        raise
    return fd


def read_all(fd: int) -> bytes:
    """What a memfd holds; closes it."""
    with os.fdopen(fd, "rb") as file:
        file.seek(0)
        return file.read()
