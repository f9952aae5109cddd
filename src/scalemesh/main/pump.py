"""The log pump as a process of its own (`scalemesh serve pump`): bus → archive."""

import asyncio

from scalemesh.logs import open_archive, open_bus
from scalemesh.logs.access.retention import keep_days
from scalemesh.logs.pump import Pump
from scalemesh.main.process import until_signal
from scalemesh.settings import Settings


async def serve(settings: Settings) -> None:
    """Until SIGTERM or SIGINT."""
    async with open_archive(settings.log_archive_url) as archive, open_bus(settings.log_bus_url) as bus:
        running = asyncio.create_task(Pump(bus, archive).run(), name="pump")
        retaining = asyncio.create_task(keep_days(archive.access, settings.access_days), name="access retention")
        try:
            await until_signal(running, retaining)
        finally:
            running.cancel()
            retaining.cancel()
            await asyncio.wait([running, retaining])
