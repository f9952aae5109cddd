"""Collecting blobs: `scalemesh gc`, beside a running platform or without one, and once a day in the dispatcher."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from scalemesh.deployments import Collected, Deployments
from scalemesh.errors import BadSettings
from scalemesh.main.platform import open_platform
from scalemesh.settings import load

_LOOK_S = 600

log = structlog.get_logger(__name__)


def collect(*, data_dir: Path | None, dry_run: bool) -> Collected:
    """What went, or would go. Raises BadSettings, Unavailable."""
    return asyncio.run(_collect(data_dir, dry_run=dry_run))


async def _collect(data_dir: Path | None, *, dry_run: bool) -> Collected:
    settings = load(os.environ, data_dir=data_dir)
    if settings.database_url.startswith("sqlite") and not settings.data_dir.is_dir():
        raise BadSettings(
            f"There is no platform in {settings.data_dir}.", hint="Name its folder: --data-dir, or SCALEMESH_DATA_DIR."
        )
    async with open_platform(settings, pump=False) as platform:
        return await platform.deployments.collector.collect(dry_run=dry_run)


@asynccontextmanager
async def collecting(deployments: Deployments) -> AsyncIterator[None]:
    """While this is open, one process of the platform collects once a day."""
    running = asyncio.create_task(_daily(deployments), name="gc")
    try:
        yield
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def _daily(deployments: Deployments) -> None:
    while True:
        try:
            if await deployments.collector.is_due():
                await deployments.collector.collect()
                await deployments.hooks.forget()
        except Exception:  # a store that is away, for example: tomorrow is another day
            log.exception("collection failed")
        await asyncio.sleep(_LOOK_S)
