"""One ClickHouse server: connecting, our versioned schema, deadlines, and its errors as ours."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from inspect import signature
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from clickhouse_connect import get_async_client
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import DataError, Error

from scalemesh.errors import BadSettings, InvalidInput, Unavailable
from scalemesh.logs.archive.clickhouse_schema import MIGRATIONS, MIGRATIONS_TABLE
from scalemesh.logs.search import too_long

T = TypeVar("T")

TIMEOUT_S = 30
_OPTIONS = frozenset(signature(AsyncClient).parameters)
_GATHERED = {"async_insert": 1, "wait_for_async_insert": 1}  # the server makes one part of several inserts
_PART_ROWS = 1000  # worth a part of their own: they need not wait for others


class ClickHouseConnection:
    """`clickhouse://user:password@host:8123/database?retention_days=90&secure=true`; the rest is the client's."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        options = dict(parse_qsl(address.query))
        self.retention_days = _days(options.pop("retention_days", "0"))
        secure = options.pop("secure", "false") == "true"
        _check(options)
        self._where = f"{address.hostname}:{address.port or (8443 if secure else 8123)}"
        self._database = unquote(address.path.strip("/")) or "default"
        self._options: dict[str, Any] = {
            "host": address.hostname or "localhost",
            "port": address.port or (8443 if secure else 8123),
            "secure": secure,
            "username": unquote(address.username or "default"),
            "password": unquote(address.password or ""),
            "autogenerate_session_id": False,
            "connect_timeout": 5,
            "send_receive_timeout": TIMEOUT_S,
            **options,
        }
        self._client: Any = None

    async def open(self) -> None:
        await self._run(self._migrate())

    async def close(self) -> None:
        """Tolerates never-opened and twice."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def insert(self, table: str, types: Mapping[str, str], rows: Sequence[Sequence[object]]) -> None:
        """On the server's disk on return. `types` by column, in the rows' order."""
        if not rows:
            return
        await self._ask(
            lambda client: client.insert(
                table,
                list(zip(*rows, strict=True)),
                column_names=list(types),
                column_type_names=list(types.values()),
                column_oriented=True,
                settings=_GATHERED if len(rows) < _PART_ROWS else {"async_insert": 0},
            )
        )

    async def query(
        self, sql: str, values: Mapping[str, Any] | None = None, settings: Mapping[str, Any] | None = None
    ) -> Any:
        """The client's own result."""
        given = dict(values or {})
        return await self._ask(lambda client: client.query(sql, parameters=given, settings=dict(settings or {})))

    async def command(self, sql: str, values: Mapping[str, Any] | None = None) -> None:
        await self._ask(lambda client: client.command(sql, parameters=dict(values or {})))

    async def expire(self, table: str, column: str, days: int) -> None:
        """The table's TTL is so many days, or none for 0; changed only when it differs, for that rewrites parts."""
        found = await self.query(
            "SELECT create_table_query FROM system.tables WHERE database = {d:String} AND name = {t:String}",
            {"d": self._database, "t": table},
        )
        created = found.result_rows[0][0]
        wanted = f"TTL toDateTime({column}) + toIntervalDay({days})"
        if days and wanted not in created:
            await self.command(f"ALTER TABLE {table} MODIFY {wanted}")
        elif not days and f"TTL toDateTime({column})" in created:
            await self.command(f"ALTER TABLE {table} REMOVE TTL")

    async def _migrate(self) -> None:
        self._client = client = await get_async_client(**self._options, database="default")
        await client.command(f"CREATE DATABASE IF NOT EXISTS {_name(self._database)}")
        client.database = self._database
        await client.command(MIGRATIONS_TABLE)
        applied = (await client.query("SELECT max(version) FROM schema_migrations")).result_rows[0][0]
        if applied > len(MIGRATIONS):
            raise BadSettings(
                f"The log archive has schema {applied}, this Scale Mesh knows {len(MIGRATIONS)}",
                hint="Start the newer Scale Mesh that wrote it.",
                field="SCALEMESH_LOG_ARCHIVE_URL",
            )
        for version, statement in list(enumerate(MIGRATIONS, start=1))[applied:]:
            await client.command(statement)  # each can be repeated: two processes may start at once
            await client.insert("schema_migrations", [[version]], column_names=["version"])

    async def _ask(self, work: Callable[[Any], Awaitable[T]]) -> T:
        if self._client is None:
            raise Unavailable("The log archive is closed", code="logs_closed")
        return await self._run(work(self._client))

    async def _run(self, work: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await work
        except DataError as error:
            raise InvalidInput(f"Not fit for the log archive: {error}", code="invalid_log_lines") from error
        except (Error, OSError, TimeoutError) as error:
            if "TIMEOUT_EXCEEDED" in str(error):
                raise too_long() from error
            raise Unavailable(f"The log archive at {self._where}: {error}", code="logs_unavailable") from error


def _name(identifier: str) -> str:
    return "`" + identifier.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _check(options: Mapping[str, str]) -> None:
    if unknown := sorted(set(options) - _OPTIONS):
        raise BadSettings(
            f"SCALEMESH_LOG_ARCHIVE_URL: unknown option {unknown[0]!r}",
            hint="Known are retention_days, secure, and those of clickhouse-connect's client, such as verify.",
            field="SCALEMESH_LOG_ARCHIVE_URL",
        )


def _days(text: str) -> int:
    if not text.isdigit():
        raise BadSettings(
            f"SCALEMESH_LOG_ARCHIVE_URL: retention_days={text} is not a number of days",
            hint="Give whole days, or leave it out to keep logs as long as their deployments.",
            field="SCALEMESH_LOG_ARCHIVE_URL",
        )
    return int(text)
