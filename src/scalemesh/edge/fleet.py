"""The keeper's worker processes: started, restarted when they die, sent away when the edge stops.

The keeper holds the listening sockets (`listeners`) and passes them on: while a worker is replaced, connections wait in
the kernel's queue instead of failing.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from itertools import chain

import msgspec

from scalemesh.edge.upstream.target import ProxyLimits

log = logging.getLogger(__name__)

_END_S = 1.0  # to end, once all connections are gone
_QUICK_DEATH_S = 2.0
_MAX_BACKOFF_S = 2.0


class KeepAlive(msgspec.Struct, frozen=True, kw_only=True):
    """How long a connection is kept: this many requests, this long, and this long without one."""

    requests: int = 1000
    life_s: float = 3600
    idle_s: float = 75


class WorkerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker process is told, as JSON in its first argument. `drain_s`: for answers under way, at the end."""

    folder: str
    slot: str = ""
    listener_fds: tuple[int, ...] = ()
    every_host: str | None = None
    proxy: ProxyLimits = ProxyLimits()
    keep_alive: KeepAlive = KeepAlive()
    access_records: int = 0
    trusted: tuple[str, ...] = ()
    drain_s: float = 3.0


class Fleet:
    """`run` keeps one process per set of listeners alive until it is cancelled; then it closes the
    listeners and stops them, at last by force.
    `config` is every worker's, but for `slot` and `listener_fds`."""

    def __init__(self, config: WorkerConfig, epoch: str, listeners: Sequence[Sequence[socket.socket]]) -> None:
        self._config = config
        self._epoch = epoch
        self._listeners = listeners
        self.processes: dict[str, asyncio.subprocess.Process] = {}

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for number, listeners in enumerate(self._listeners):
                    group.create_task(self._keep_alive(f"{self._epoch}-{number}", listeners))
        finally:
            await self._stop()

    async def _keep_alive(self, slot: str, listeners: Sequence[socket.socket]) -> None:
        backoff_s = 0.0
        while True:
            started = time.monotonic()
            process = self.processes[slot] = await self._spawn(slot, listeners)
            status = await process.wait()
            quick = time.monotonic() - started < _QUICK_DEATH_S
            backoff_s = min(backoff_s * 2 + 0.1, _MAX_BACKOFF_S) if quick else 0.0
            log.warning("a worker ended slot=%s status=%s restart_in_s=%s", slot, status, backoff_s)
            await asyncio.sleep(backoff_s)

    async def _spawn(self, slot: str, listeners: Sequence[socket.socket]) -> asyncio.subprocess.Process:
        fds = tuple(listener.fileno() for listener in listeners)
        config = msgspec.structs.replace(self._config, slot=slot, listener_fds=fds)
        argv = [sys.executable, "-P", "-m", "scalemesh.main.edge_worker", msgspec.json.encode(config).decode()]
        return await asyncio.create_subprocess_exec(
            *argv, pass_fds=fds, stdin=asyncio.subprocess.DEVNULL, start_new_session=True, env=_environment()
        )

    async def _stop(self) -> None:
        for listener in chain.from_iterable(self._listeners):  # whoever comes now is refused, and not left waiting
            listener.close()
        running = [process for process in self.processes.values() if process.returncode is None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(self._config.drain_s + _END_S):
                await asyncio.gather(*(process.wait() for process in running))
        except TimeoutError:
            for process in running:
                if process.returncode is None:
                    process.kill()
            await asyncio.gather(*(process.wait() for process in running))


def _environment() -> dict[str, str]:
    """A worker needs no setting, so it gets no secret."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SCALEMESH_")}
