"""`scalemesh serve api|dispatcher|pump|edge`: one process of the platform, for machines that are run apart."""

import os
from collections.abc import Callable, Coroutine
from typing import Any

from scalemesh.errors import BadSettings
from scalemesh.main import process
from scalemesh.settings import Settings, load


def serve(part: str, **options: Any) -> None:
    """Runs until SIGTERM or SIGINT. Raises BadSettings where it cannot start."""
    settings = load(os.environ, **options)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    if part == "edge":
        from scalemesh.main.edge import run

        process.configure_log()
        run(settings)
        return
    if settings.log_bus_url.startswith("memory:"):
        raise BadSettings(
            "SCALEMESH_LOG_BUS_URL=memory:// reaches one process only: it is for `scalemesh up`.",
            hint="Give a bus that every process reaches.",
            field="SCALEMESH_LOG_BUS_URL",
        )
    process.run(_PARTS[part](settings))


def _api(settings: Settings) -> Callable[[], Coroutine[Any, Any, None]]:
    from scalemesh.main import api, ports

    listener = ports.listen(settings)
    return lambda: api.serve(settings, listener, api.Status(), is_apart=True)


def _dispatcher(settings: Settings) -> Callable[[], Coroutine[Any, Any, None]]:
    from scalemesh.main import dispatcher

    return lambda: dispatcher.serve(settings)


def _pump(settings: Settings) -> Callable[[], Coroutine[Any, Any, None]]:
    from scalemesh.main import pump

    return lambda: pump.serve(settings)


_PARTS = {"api": _api, "dispatcher": _dispatcher, "pump": _pump}
