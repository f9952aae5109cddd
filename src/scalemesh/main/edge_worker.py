"""One edge worker: `python -m scalemesh.main.edge_worker CONFIG`, started by the keeper only.

Everything imported here is memory in every worker: no object store, no settings, an HTTP client only once needed.
"""

import asyncio
import contextlib
import gc
import logging
import resource
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import uvloop

from scalemesh.edge.access import Access
from scalemesh.edge.access_line import AccessSender
from scalemesh.edge.blobfiles import BlobFiles
from scalemesh.edge.fleet import WorkerConfig
from scalemesh.edge.index import Generation, IndexReader
from scalemesh.edge.misses import MissClient
from scalemesh.edge.parts import PartReader
from scalemesh.edge.peers import Peers
from scalemesh.edge.places import hold_place
from scalemesh.edge.serving import Serving
from scalemesh.edge.worker import Ending, Worker

ACCESS_S = 0.5  # at least, for the keeper to take the last access records
REPLACED_S = 3600.0  # for what a worker is at, once another one has its place: nobody waits for it to end
ALONE_S = 120.0  # without a keeper for so long, nobody will ever replace or stop this worker: it ends itself


def main() -> None:
    config = msgspec.json.decode(sys.argv[1], type=WorkerConfig)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(config))


async def _run(config: WorkerConfig) -> None:
    folder = Path(config.folder)
    loop = asyncio.get_running_loop()
    ending = Ending()
    alone = _Alone(loop, lambda: ending.within(config.drain_s))
    access = AccessSender()
    misses = MissClient(folder / "keeper.sock", config.slot, lambda: ending.within(REPLACED_S), alone.set, access)
    with hold_place(folder) as place, contextlib.closing(IndexReader(folder / "index.db")) as index:
        generation = Generation(folder / "generation")
        files = BlobFiles(folder / "blobs")
        parts = PartReader(folder / "keeper.sock")
        worker = Worker(
            Serving(index, generation.view, files, misses.fetch, parts.read, every_host=config.every_host),
            parts,
            config.proxy,
            Access(access.ship, config.access_records),
            config.keep_alive,
            Peers(config.trusted) if config.trusted else None,
        )
        loop.add_signal_handler(signal.SIGTERM, ending.within, config.drain_s)
        loop.add_signal_handler(signal.SIGINT, lambda: None)  # Ctrl-C: the keeper decides
        gc.collect()
        gc.freeze()
        for fd in config.listener_fds:
            await worker.start(socket.socket(fileno=fd))
        worker.tick_on()
        asking = asyncio.create_task(misses.run())
        await ending.begun.wait()
        place.close()
        await worker.drain(ending)
        await access.finish(ACCESS_S + min(config.drain_s, max(0.0, ending.at - loop.time())))
        asking.cancel()


class _Alone:
    """Ends the worker when the keeper has been gone for ALONE_S."""

    def __init__(self, loop: asyncio.AbstractEventLoop, end: Callable[[], None]) -> None:
        self._loop = loop
        self._end = end
        self._timer: asyncio.TimerHandle | None = None

    def set(self, alone: bool) -> None:  # noqa: FBT001
        if alone and self._timer is None:
            self._timer = self._loop.call_later(ALONE_S, self._end)
        elif not alone and self._timer is not None:
            self._timer.cancel()
            self._timer = None


if __name__ == "__main__":
    main()
