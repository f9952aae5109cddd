"""Logs in ClickHouse: one table in reading order, merged so that a line counts once.

A line that came twice lies there twice until parts are merged, side by side in the sorting key: `LIMIT 1 BY` on read
keeps the one that came first. Inserts are gathered by the server and answered when they are on its disk.
"""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from itertools import starmap
from typing import Any, Self, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

from clickhouse_connect import get_async_client
from clickhouse_connect.driver.exceptions import DataError, Error

from scalemesh.core.logs import LogLine
from scalemesh.errors import BadSettings, InvalidInput, Unavailable
from scalemesh.logs.archive.base import Archive
from scalemesh.logs.archive.clickhouse_schema import MIGRATIONS, MIGRATIONS_TABLE, TABLE
from scalemesh.logs.search import LIKE, SEARCH_S, Search, too_long

T = TypeVar("T")

TIMEOUT_S = 30
_COLUMNS = ("deployment", "seq", "attempt", "ts", "stream", "level", "step", "text", "partial")
_TYPES = ("String", "UInt64", "UInt32", "DateTime64(3, 'UTC')", *("LowCardinality(String)",) * 3, "String", "Bool")
_SELECT = (
    f"SELECT deployment, attempt, seq, toUnixTimestamp64Milli(ts), stream, level, step, text, partial FROM {TABLE}"  # noqa: S608
)
_MAX_TS = 4_102_444_800_000  # 2100: what DateTime64's partitions and TTL can be trusted with
_BOUNDED = {"max_execution_time": SEARCH_S}
_DURABLE = {"async_insert": 1, "wait_for_async_insert": 1}


class ClickHouseArchive(Archive):
    """`clickhouse://user:password@host:8123/database?retention_days=90&secure=true`; the rest is the client's."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        options = dict(parse_qsl(address.query))
        self._retention_days = _days(options.pop("retention_days", "0"))
        secure = options.pop("secure", "false") == "true"
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
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> Self:
        try:
            await self._run(self._migrate())
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def append(self, lines: Sequence[LogLine]) -> None:
        rows = {(line.deployment, line.seq): line for line in reversed(lines)}
        if not rows:
            return
        for line in rows.values():
            _check(line)
        columns = list(zip(*(_row(line) for line in rows.values()), strict=True))
        await self._run(
            self._connected().insert(
                TABLE,
                columns,
                column_names=_COLUMNS,
                column_type_names=_TYPES,
                column_oriented=True,
                settings=_DURABLE,
            )
        )

    async def read(self, deployment: str, after: int = -1, limit: int = 1000) -> list[LogLine]:
        where = "deployment = {deployment:String} AND seq >= {first:UInt64}"
        return await self._lines(where, "deployment, seq", {"deployment": deployment, "first": after + 1}, limit)

    async def find(
        self, deployments: Sequence[str], search: Search, after: int = -1, limit: int = 100
    ) -> list[LogLine]:
        if not deployments:
            return []
        search.check()
        wanted, values = _conditions(search)
        values |= {"first": deployments[0], "after": after + 1}
        if len(deployments) == 1:
            where, order = "deployment = {first:String} AND seq >= {after:UInt64}", "deployment, seq"
        else:
            values["all"] = list(deployments)
            where = "deployment IN {all:Array(String)} AND (deployment != {first:String} OR seq >= {after:UInt64})"
            order = "indexOf({all:Array(String)}, deployment), seq"
        return await self._lines(" AND ".join([where, *wanted]), order, values, limit)

    async def delete(self, deployment: str) -> None:
        sql = f"DELETE FROM {TABLE} WHERE deployment = {{deployment:String}}"  # noqa: S608
        await self._run(self._connected().command(sql, parameters={"deployment": deployment}))

    async def _lines(self, where: str, order: str, values: Mapping[str, Any], limit: int) -> list[LogLine]:
        sql = f"{_SELECT} WHERE {where} ORDER BY {order}, came DESC LIMIT 1 BY deployment, seq LIMIT {int(limit)}"
        found = await self._run(self._connected().query(sql, parameters=dict(values), settings=_BOUNDED))
        return list(starmap(_line, found.result_rows))

    def _connected(self) -> Any:
        if self._client is None:
            raise Unavailable("The log archive is closed", code="logs_closed")
        return self._client

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
        await self._retain(client)

    async def _retain(self, client: Any) -> None:
        """The table's TTL is what the setting says; changed only when it differs, for that rewrites parts."""
        created = (
            await client.query(
                "SELECT create_table_query FROM system.tables WHERE database = {d:String} AND name = {t:String}",
                parameters={"d": self._database, "t": TABLE},
            )
        ).result_rows[0][0]
        wanted = f"TTL toDateTime(ts) + toIntervalDay({self._retention_days})"
        if self._retention_days and wanted not in created:
            await client.command(f"ALTER TABLE {TABLE} MODIFY {wanted}")
        elif not self._retention_days and "TTL toDateTime(ts)" in created:
            await client.command(f"ALTER TABLE {TABLE} REMOVE TTL")

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


def _conditions(search: Search) -> tuple[list[str], dict[str, Any]]:
    """SQL that must hold, and its parameters; the ngram index takes the LIKEs, the expressions decide."""
    plain = {"level": search.level, "step": search.step, "stream": search.stream}
    values: dict[str, Any] = {name: value for name, value in plain.items() if value is not None}
    wanted = [f"{name} = {{{name}:String}}" for name in values]
    for name, sign, at in (("since", ">=", search.since), ("until", "<", search.until)):
        if at is not None:
            wanted.append(f"ts {sign} fromUnixTimestamp64Milli({{{name}:Int64}})")
            values[name] = at
    for number, literal in enumerate(search.literals):
        wanted.append(f"lower(text) LIKE {{literal{number}:String}}")
        values[f"literal{number}"] = "%" + literal.translate(LIKE) + "%"
    for number, pattern in enumerate(search.patterns):
        wanted.append(f"match(text, {{pattern{number}:String}})")
        values[f"pattern{number}"] = pattern
    return wanted, values


def _check(line: LogLine) -> None:
    if not (0 <= line.seq < 2**32 and 0 <= line.ts < _MAX_TS and 0 <= line.attempt < 2**32):
        raise InvalidInput(f"Log number {line.seq} is out of range, or its time is", code="invalid_log_lines")
    try:
        line.text.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"Not fit for the log archive: {error}", code="invalid_log_lines") from error


def _row(line: LogLine) -> tuple[object, ...]:
    return tuple(getattr(line, name) for name in _COLUMNS)


def _line(
    deployment: str, attempt: int, seq: int, ts: int, stream: Any, level: Any, step: str, text: str, partial: object
) -> LogLine:
    return LogLine(
        deployment=deployment,
        attempt=attempt,
        seq=seq,
        ts=ts,
        stream=stream,
        level=level,
        step=step,
        text=text,
        partial=bool(partial),
    )


def _name(identifier: str) -> str:
    return "`" + identifier.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _days(text: str) -> int:
    if not text.isdigit():
        raise BadSettings(
            f"SCALEMESH_LOG_ARCHIVE_URL: retention_days={text} is not a number of days",
            hint="Give whole days, or leave it out to keep logs as long as their deployments.",
            field="SCALEMESH_LOG_ARCHIVE_URL",
        )
    return int(text)
