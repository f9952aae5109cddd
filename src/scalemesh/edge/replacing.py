"""A keeper that becomes its own successor: the same process runs its command again, and keeps the listening sockets.

The old workers serve until the new ones listen, as after a kill. No connection is lost, for their queue never closes.
"""

import asyncio
import os
import socket
import sys
from collections.abc import Iterable, MutableMapping, Sequence
from typing import Self

from scalemesh.edge.fleet import Fleet

_FDS = "_SCALEMESH_EDGE_LISTENERS"
_PIDS = "_SCALEMESH_EDGE_WORKERS"
_REAP_S = 1.0


def replace_keeper(listeners: Sequence[socket.socket], fleet: Fleet) -> None:
    """Does not return. As safe as `kill -9`, which the keeper survives at any moment."""
    for listener in listeners:
        listener.set_inheritable(True)
    running = [process.pid for process in fleet.processes.values() if process.returncode is None]
    environ = os.environ | {_FDS: _joined(listener.fileno() for listener in listeners), _PIDS: _joined(running)}
    os.execve(sys.executable, sys.orig_argv, environ)  # noqa: S606  an argv, as everywhere


class Predecessor:
    """What this process was before it replaced itself: its sockets, and workers that are still its children."""

    def __init__(self, listeners: list[socket.socket], workers: list[int]) -> None:
        self.listeners = listeners
        self._workers = workers

    @classmethod
    def take(cls, environ: MutableMapping[str, str]) -> Self:
        """Empty in a keeper that was started by somebody else."""
        fds, pids = (environ.pop(name, "").split() for name in (_FDS, _PIDS))
        listeners = [socket.socket(fileno=int(fd)) for fd in fds]
        for listener in listeners:
            listener.set_inheritable(False)
        return cls(listeners, [int(pid) for pid in pids])

    async def reap(self) -> None:
        """Take note of each old worker's end; goes on until cancelled, as a keeper's parts do."""
        while self._workers:
            await asyncio.sleep(_REAP_S)
            self._workers = [pid for pid in self._workers if _runs(pid)]
        await asyncio.Event().wait()


def _runs(pid: int) -> bool:
    return os.waitpid(pid, os.WNOHANG)[0] == 0


def _joined(numbers: Iterable[int]) -> str:
    return " ".join(map(str, numbers))
