"""Lets access records go when they are too old; runs beside a log pump."""

import asyncio

import structlog

from scalemesh.errors import Unavailable
from scalemesh.logs.access.base import AccessArchive

EVERY_S = 3600.0

log = structlog.get_logger(__name__)


async def keep_days(access: AccessArchive, days: int) -> None:
    """Until cancelled."""
    while True:
        try:
            await access.retain(days)
        except Unavailable as error:
            log.warning("old access records stay for now", cause=error.message)
        await asyncio.sleep(EVERY_S)
