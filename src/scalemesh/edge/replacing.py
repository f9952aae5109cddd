"""A keeper that becomes its own successor: the same process runs its command again, and keeps the listening sockets.

The old workers serve until the new ones listen, and then finish what they are at. No connection is lost, for their
queue never closes.
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from typing import Self

_FDS = "_SCALEMESH_EDGE_LISTENERS"
_REAP_S = 1.0


class Predecessor:
    """What this process was before it replaced itself: its sockets, and workers that are still its children."""

    def __init__(self, listeners: list[socket.socket], workers: list[int]) -> None:
        self.listeners = listeners
        self.workers = workers

    @classmethod
    def take(cls, environ: MutableMapping[str, str]) -> Self:
        """Empty in a keeper that was started by somebody else; before this one starts processes of its own."""
        listeners = [socket.socket(fileno=int(fd)) for fd in environ.pop(_FDS, "").split()]
        for listener in listeners:
            listener.set_inheritable(False)
        return cls(listeners, _children() if listeners else [])

    async def reap(self) -> None:
        """Take note of each old worker's end; goes on until cancelled, as a keeper's parts do, and then tells them to
        hurry. They need no keeper to end by themselves."""
        try:
            while self.workers:
                await asyncio.sleep(_REAP_S)
                self.workers = [pid for pid in self.workers if _runs(pid)]
            await asyncio.Event().wait()
        finally:
            for pid in filter(_runs, self.workers):
                os.kill(pid, signal.SIGTERM)


def replace_keeper(listeners: Sequence[socket.socket]) -> None:
    """Does not return. As safe as `kill -9`, which the keeper survives at any moment."""
    for listener in listeners:
        listener.set_inheritable(True)
    environ = os.environ | {_FDS: " ".join(str(listener.fileno()) for listener in listeners)}
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # one more, before the successor listens to it, is none
    os.execve(sys.executable, sys.orig_argv, environ)  # noqa: S606  an argv, as everywhere


def _runs(pid: int) -> bool:
    return os.waitpid(pid, os.WNOHANG)[0] == 0


def _children() -> list[int]:
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
