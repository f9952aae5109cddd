"""The keeper's worker processes: started, restarted when they die, sent away when the edge stops.

The keeper holds one listening socket per worker (SO_REUSEPORT) and passes it on: while a worker is replaced,
connections wait in the kernel's queue instead of failing.
"""

import asyncio
import logging
import os
import signal
import socket
import sys
import time

import msgspec

from scalemesh.edge.upstream.target import ProxyLimits
from scalemesh.edge.worker import BACKLOG
from scalemesh.errors import BadSettings

log = logging.getLogger(__name__)

STOP_S = 4.0
_QUICK_DEATH_S = 2.0
_MAX_BACKOFF_S = 2.0


class WorkerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker process is told, as JSON in its first argument."""

    folder: str
    slot: str
    listener_fd: int
    every_host: str | None = None
    proxy: ProxyLimits = ProxyLimits()
    access_records: int = 0
    trusted: tuple[str, ...] = ()
    drain_s: float = STOP_S - 1


def listen(host: str, port: int, count: int, *, shared: bool = False) -> list[socket.socket]:
    """`count` listening sockets of one address. A port that somebody else listens on is BadSettings, unless `shared`:
    then it is known to be our own, of workers that a killed keeper left behind."""
    try:
        if not shared:  # SO_REUSEPORT alone would quietly take a share of another edge's connections
            _bound(host, port, reuse_port=False).close()
        listeners = [_bound(host, port, reuse_port=True)]
        port = listeners[0].getsockname()[1]
        listeners += [_bound(host, port, reuse_port=True) for _ in range(1, count)]
    except OSError as error:
        raise BadSettings(
            f"Cannot listen on {host}:{port} for the sites: {error.strerror}",
            code="port_taken",
            hint="Choose another port with --edge-port or SCALEMESH_EDGE_PORT.",
            field="SCALEMESH_EDGE_PORT",
        ) from error
    for listener in listeners:
        listener.listen(BACKLOG)
        listener.setblocking(False)
    return listeners


def _bound(host: str, port: int, *, reuse_port: bool) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, reuse_port)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


class Fleet:
    """`run` keeps one process per listener alive until it is cancelled; then it stops them, by force after STOP_S."""

    def __init__(
        self,
        folder: str,
        epoch: str,
        listeners: list[socket.socket],
        *,
        every_host: str | None = None,
        proxy: ProxyLimits | None = None,
        access_records: int = 0,
        trusted: tuple[str, ...] = (),
    ) -> None:
        self._folder = folder
        self._epoch = epoch
        self._listeners = listeners
        self._every_host = every_host
        self._proxy = proxy or ProxyLimits()
        self._access_records = access_records
        self._trusted = trusted
        self.processes: dict[str, asyncio.subprocess.Process] = {}

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for number, listener in enumerate(self._listeners):
                    group.create_task(self._keep_alive(f"{self._epoch}-{number}", listener))
        finally:
            await self._stop()

    async def _keep_alive(self, slot: str, listener: socket.socket) -> None:
        backoff_s = 0.0
        while True:
            started = time.monotonic()
            process = self.processes[slot] = await self._spawn(slot, listener)
            status = await process.wait()
            quick = time.monotonic() - started < _QUICK_DEATH_S
            backoff_s = min(backoff_s * 2 + 0.1, _MAX_BACKOFF_S) if quick else 0.0
            log.warning("a worker ended slot=%s status=%s restart_in_s=%s", slot, status, backoff_s)
            await asyncio.sleep(backoff_s)

    async def _spawn(self, slot: str, listener: socket.socket) -> asyncio.subprocess.Process:
        fd = listener.fileno()
        config = WorkerConfig(
            folder=self._folder,
            slot=slot,
            listener_fd=fd,
            every_host=self._every_host,
            proxy=self._proxy,
            access_records=self._access_records,
            trusted=self._trusted,
        )
        argv = [sys.executable, "-P", "-m", "scalemesh.main.edge_worker", msgspec.json.encode(config).decode()]
        return await asyncio.create_subprocess_exec(
            *argv, pass_fds=[fd], stdin=asyncio.subprocess.DEVNULL, start_new_session=True, env=_environment()
        )

    async def _stop(self) -> None:
        running = [process for process in self.processes.values() if process.returncode is None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_S):
                await asyncio.gather(*(process.wait() for process in running))
        except TimeoutError:
            for process in running:
                if process.returncode is None:
                    process.kill()
            await asyncio.gather(*(process.wait() for process in running))


def _environment() -> dict[str, str]:
    """A worker needs no setting, so it gets no secret."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SCALEMESH_")}
