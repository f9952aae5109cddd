"""`python -I -m scalemesh.main.migrate`: brings the database's schema up to date, and ends; for an installer's hook."""

import asyncio
import os

from scalemesh.db import Database
from scalemesh.settings import Settings, load


def main() -> None:
    asyncio.run(_run(load(os.environ)))


async def _run(settings: Settings) -> None:
    async with Database(settings.database_url) as db:
        await db.migrate()


if __name__ == "__main__":
    main()
