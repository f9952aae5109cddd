"""The dispatcher, embedded in the API's process or a process of its own (`scalemesh serve dispatcher`)."""

import asyncio
import contextlib
import fcntl
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from scalemesh.core.ids import new_id
from scalemesh.dispatch.dispatcher import Dispatcher, DispatchSettings
from scalemesh.dispatch.toolchains.broker import Broker
from scalemesh.dispatch.toolchains.store import Store
from scalemesh.errors import BadSettings
from scalemesh.main import backends
from scalemesh.main.gc import collecting
from scalemesh.main.platform import Platform, open_platform, uids
from scalemesh.main.process import until_signal
from scalemesh.sandbox import probe
from scalemesh.settings import Settings

_LOCK_S = 10.0  # a predecessor may need this long to end


async def serve(settings: Settings) -> None:
    """Until SIGTERM or SIGINT; running builds go back to the queue."""
    await require_sandbox(settings)
    async with open_platform(settings, pump=False) as platform, dispatching(platform) as running:
        await until_signal(running)


async def require_sandbox(settings: Settings) -> None:
    """Raises BadSettings, with cause and fix, where builds cannot be isolated and the operator wants them to be."""
    if settings.builder == "local" and settings.build.sandbox != "none":
        await probe.require(settings.build.uid_first)


@asynccontextmanager
async def dispatching(platform: Platform) -> AsyncIterator[asyncio.Task[None]]:
    """The dispatcher as a running task; leaving stops its builds and puts them back into the queue."""
    settings = platform.settings
    store, build = Store(settings.data_dir / "toolchains"), settings.build
    async with (
        _sole(settings.data_dir),
        backends.backend(settings) as backend,
        Broker(store, settings.data_dir / "broker", uids(settings)),
        collecting(platform.deployments),
    ):
        own = DispatchSettings(
            name=_name(settings.data_dir),
            concurrency=build.concurrency or max(2, os.cpu_count() or 2),
            team_concurrency=build.team_concurrency,
            project_concurrency=build.project_concurrency,
        )
        dispatcher = Dispatcher(platform.deployments.queue, backend, platform.wakeup, own)
        running = asyncio.create_task(dispatcher.run(), name="dispatcher")
        try:
            yield running
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            await dispatcher.drain()


@asynccontextmanager
async def _sole(data_dir: Path) -> AsyncIterator[None]:
    """One dispatcher per data folder: two of one name would each end the other's builds. Waits for the one before."""
    with (data_dir / "dispatcher.lock").open("w") as lock:
        deadline = asyncio.get_running_loop().time() + _LOCK_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if asyncio.get_running_loop().time() > deadline:
                    raise BadSettings(
                        f"Another dispatcher runs on {data_dir}.", hint="Stop it, or choose another --data-dir."
                    ) from None
            await asyncio.sleep(0.1)
        yield


def _name(data_dir: Path) -> str:
    """This machine's dispatcher over this data folder: the same after a restart, so that it finds its builds again."""
    path = data_dir / "dispatcher.id"
    if not path.exists():
        fresh = path.with_suffix(".new")
        fresh.write_text(f"{socket.gethostname()[:30]}-{new_id('dsp')}")
        fresh.replace(path)
    return path.read_text()
