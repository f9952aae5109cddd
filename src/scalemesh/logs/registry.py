"""The URL's scheme chooses the adapter; its module is imported when it is chosen."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from scalemesh.errors import BadSettings
from scalemesh.logs.archive.base import Archive
from scalemesh.logs.bus.base import Bus

BUSES = {
    "memory": "scalemesh.logs.bus.memory:MemoryBus",
    "redis": "scalemesh.logs.bus.redis:RedisBus",
    "rediss": "scalemesh.logs.bus.redis:RedisBus",
    "kafka": "scalemesh.logs.bus.kafka:KafkaBus",
}
ARCHIVES = {
    "memory": "scalemesh.logs.archive.memory:MemoryArchive",
    "sqlite": "scalemesh.logs.archive.sqlite:SqliteArchive",
    "clickhouse": "scalemesh.logs.archive.clickhouse:ClickHouseArchive",
}


def open_bus(url: str) -> Bus:
    """The bus at `url`, such as `memory://`; enter it before use. Raises BadSettings."""
    bus: Bus = _adapter(BUSES, url, "SCALEMESH_LOG_BUS_URL")
    return bus


def open_archive(url: str) -> Archive:
    """The archive at `url`, such as `sqlite:////var/lib/scalemesh/logs.db`; enter it before use. Raises BadSettings."""
    archive: Archive = _adapter(ARCHIVES, url, "SCALEMESH_LOG_ARCHIVE_URL")
    return archive


def _adapter(known: Mapping[str, str], url: str, setting: str) -> Any:
    scheme, _, address = url.partition("://")
    if scheme not in known:
        raise BadSettings(
            f"{setting}: unknown scheme {scheme!r}", hint=f"Known are {', '.join(sorted(known))}.", field=setting
        )
    module, _, name = known[scheme].partition(":")
    try:
        kind = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        extra = module.rpartition(".")[2]
        raise BadSettings(
            f"{setting}: {scheme}:// needs {error.name}, which is not installed.",
            hint=f"pip install 'scalemesh[{extra}]'",
            field=setting,
        ) from error
    if scheme == "memory":
        return kind()
    if not address:
        raise BadSettings(f"{setting}: {scheme}:// lacks an address", hint=f"{scheme}://host:port", field=setting)
    try:
        return kind(url)
    except ValueError:
        raise BadSettings(  # its text may quote a password, and so may what it was caught from
            f"{setting}: not an address that {scheme}:// takes",
            hint="In user and password, / ? # @ and : are written %2F %3F %23 %40 and %3A.",
            field=setting,
        ) from None
