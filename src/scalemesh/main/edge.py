"""The edge's keeper: `python -m scalemesh.main.edge`. Starts from its disk; the platform may be down.

SIGTERM stops it and its workers; SIGHUP starts it anew, from what is installed now, and no request notices.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import uvloop

from scalemesh.artifacts.store import BlobStore
from scalemesh.edge.access_line import AccessReceiver
from scalemesh.edge.access_report import AccessReports
from scalemesh.edge.access_spool import AccessSpool
from scalemesh.edge.blobs import Blobs
from scalemesh.edge.feed import RouteFeed
from scalemesh.edge.fleet import Fleet
from scalemesh.edge.index import Generation, IndexWriter
from scalemesh.edge.keeper import Keeper, edge_folder
from scalemesh.edge.listeners import forget, listen, listen_at
from scalemesh.edge.misses import MissServer
from scalemesh.edge.places import left_behind
from scalemesh.edge.prefetch import Prefetch
from scalemesh.edge.replacing import Predecessor, replace_keeper
from scalemesh.errors import BadSettings
from scalemesh.main.worker_config import worker_config
from scalemesh.settings.load import load
from scalemesh.settings.model import Settings

_OURS_LISTEN_S = 1.0
LOCK_S = 5.0  # a predecessor may need this long to end, besides what its answers under way may take


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        run(load(os.environ))
    except BadSettings as error:
        sys.stderr.write(f"{error.message}\n{error.hint or ''}\n")
        sys.exit(2)


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises BadSettings where it cannot start."""
    if settings.data_dir is None:
        raise BadSettings("No data folder is set.", field="SCALEMESH_DATA_DIR")
    folder = edge_folder(settings.data_dir)
    with (
        _sole_keeper(folder, LOCK_S + settings.edge.drain_s),
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_run(settings, folder))


async def _run(settings: Settings, folder: Path) -> None:
    config = worker_config(folder, settings.edge)
    epoch = secrets.token_hex(4)
    before = Predecessor.take(os.environ)
    listeners = before.listeners or _listeners(settings, shared=left_behind(folder))
    files = [each for each in listeners if each.family == socket.AF_UNIX]
    blobs = Blobs(folder / "blobs", BlobStore(settings.storage_url), settings.edge.disk_bytes)
    index = IndexWriter(folder / "index.db")
    generation = Generation(folder / "generation")
    prefetch = Prefetch(blobs)
    keeper = Keeper(index, generation, blobs, RouteFeed(settings.internal_url, settings.edge.token), prefetch)
    spool = AccessSpool(folder / "access.db", settings.edge.access_spool_bytes)
    reports = AccessReports(spool, settings.internal_url, settings.edge.token)
    fleet = Fleet(config, epoch, [[each, *files] for each in listeners if each not in files])
    strangers = Strangers(epoch)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, lambda: replace_keeper(listeners))
    async with MissServer(folder / "keeper.sock", blobs, strangers.on_worker, AccessReceiver(spool)):
        await _until_signal(fleet.run(), keeper.follow(), keeper.tidy(), prefetch.run(), reports.run(), before.reap())
        strangers.dismiss()
    index.close()
    spool.close()
    if settings.edge.socket:
        forget(Path(settings.edge.socket))


def _listeners(settings: Settings, *, shared: bool) -> list[socket.socket]:
    edge = settings.edge
    on_port = listen(settings.host, settings.edge_port, edge.workers, shared=shared)
    if not edge.socket:
        return on_port
    mode = int(edge.socket_mode, 8)
    return [*on_port, listen_at(Path(edge.socket), mode=mode, group=edge.socket_group, shared=shared)]


class Strangers:
    """Workers of a keeper that was killed. They went on serving; once ours listen, or we stop, they may go."""

    def __init__(self, epoch: str) -> None:
        self._epoch = epoch
        self._drains: list[Callable[[], None]] = []

    def on_worker(self, slot: str, drain: Callable[[], None]) -> None:
        if not slot.startswith(f"{self._epoch}-"):
            self._drains.append(drain)
            asyncio.get_running_loop().call_later(_OURS_LISTEN_S, self.dismiss)

    def dismiss(self) -> None:
        while self._drains:
            self._drains.pop()()


async def _until_signal(*parts: Coroutine[Any, Any, None]) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    tasks = [asyncio.create_task(part) for part in parts]
    stop = asyncio.create_task(stopping.wait())
    done, _ = await asyncio.wait([stop, *tasks], return_when=asyncio.FIRST_COMPLETED)
    for task in (stop, *tasks):
        task.cancel()
    await asyncio.gather(stop, *tasks, return_exceptions=True)
    for task in done - {stop}:
        await task  # a part that ended by itself failed: say so


@contextlib.contextmanager
def _sole_keeper(folder: Path, patience_s: float) -> Iterator[None]:
    """One keeper per data folder; waits a moment for the one before."""
    with (folder / "keeper.lock").open("w") as lock:
        deadline = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise BadSettings(
                        f"Another edge runs on {folder}.", hint="Stop it, or choose another --data-dir."
                    ) from None
                time.sleep(0.1)
        yield


if __name__ == "__main__":
    main()
