"""The log pump as a process of its own (`scalemesh serve pump`): bus → archive."""

import asyncio

from scalemesh.logs import open_archive, open_bus
from scalemesh.logs.pump import Pump
from scalemesh.main.process import until_signal
from scalemesh.settings import Settings


async def serve(settings: Settings) -> None:
    """Until SIGTERM or SIGINT."""
    async with open_archive(settings.log_archive_url) as archive, open_bus(settings.log_bus_url) as bus:
        running = asyncio.create_task(Pump(bus, archive).run(), name="pump")
        try:
            await until_signal(running)
        finally:
            running.cancel()
            await asyncio.wait([running])
