"""`scalemesh serve api|dispatcher|pump|edge`: one process of the platform, for machines that are run apart."""

import os
from typing import Any

from scalemesh.errors import BadSettings
from scalemesh.main import process
from scalemesh.settings import Settings, load


def serve(part: str, **options: Any) -> None:
    """Runs until SIGTERM or SIGINT, then exits. Raises BadSettings where it cannot start."""
    if part == "edge":
        from scalemesh.main.edge import run

        run(load(os.environ, **options))
    else:
        process.run({"api": _api, "dispatcher": _dispatcher, "pump": _pump}[part], **options)


async def _api(settings: Settings) -> None:
    from scalemesh.main import api, ports

    _require_shared_bus(settings)
    _require_shared_database(settings)
    await api.serve(settings, ports.listen(settings), api.Status(), is_apart=True)


async def _dispatcher(settings: Settings) -> None:
    from scalemesh.main import dispatcher

    _require_shared_bus(settings)
    _require_shared_database(settings)
    await dispatcher.serve(settings)


async def _pump(settings: Settings) -> None:
    from scalemesh.main import pump

    _require_shared_bus(settings)
    await pump.serve(settings)


def _require_shared_bus(settings: Settings) -> None:
    if settings.log_bus_url.startswith("memory:"):
        raise BadSettings(
            "SCALEMESH_LOG_BUS_URL=memory:// reaches one process only: it is for `scalemesh up`.",
            hint="Give a bus that every process reaches.",
            field="SCALEMESH_LOG_BUS_URL",
        )


def _require_shared_database(settings: Settings) -> None:
    if settings.database_url.startswith("sqlite"):
        raise BadSettings(
            "SCALEMESH_DATABASE_URL: SQLite is written by one process only: it is for `scalemesh up`.",
            hint="postgresql+asyncpg://user@host/name",
            field="SCALEMESH_DATABASE_URL",
        )
