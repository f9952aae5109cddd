"""Logs in ClickHouse: one table in reading order, merged so that a line counts once.

A line that came twice lies there twice until parts are merged, side by side in the sorting key: the one that came first
is read. Inserts are gathered by the server and answered when they are on its disk.
"""

from collections.abc import Mapping, Sequence
from itertools import islice, starmap
from typing import Any, Self

from scalemesh.core.logs import LogLine
from scalemesh.errors import InvalidInput
from scalemesh.logs.access.clickhouse import ClickHouseAccess
from scalemesh.logs.archive.base import Archive
from scalemesh.logs.archive.clickhouse_connection import ClickHouseConnection
from scalemesh.logs.archive.clickhouse_schema import TABLE
from scalemesh.logs.search import LIKE, SEARCH_S, Search

_TYPES = {
    "deployment": "String",
    "seq": "UInt64",
    "attempt": "UInt32",
    "ts": "DateTime64(3, 'UTC')",
    "stream": "LowCardinality(String)",
    "level": "LowCardinality(String)",
    "step": "LowCardinality(String)",
    "text": "String",
    "partial": "Bool",
}
_SELECT = (
    f"SELECT deployment, attempt, seq, toUnixTimestamp64Milli(ts), stream, level, step, text, partial FROM {TABLE}"  # noqa: S608
)
_MAX_TS = 4_102_444_800_000  # 2100: what DateTime64's partitions and TTL can be trusted with
_BOUNDED = {"max_execution_time": SEARCH_S}


class ClickHouseArchive(Archive):
    """`clickhouse://user:password@host:8123/database?retention_days=90&secure=true`; the rest is the client's."""

    def __init__(self, url: str) -> None:
        self._client = ClickHouseConnection(url)
        self.access = ClickHouseAccess(self._client)

    async def __aenter__(self) -> Self:
        try:
            await self._client.open()
            await self._client.expire(TABLE, "ts", self._client.retention_days)
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._client.close()

    async def append(self, lines: Sequence[LogLine]) -> None:
        rows = {(line.deployment, line.seq): line for line in reversed(lines)}
        if not rows:
            return
        for line in rows.values():
            _check(line)
        await self._client.insert(TABLE, _TYPES, [_row(line) for line in rows.values()])

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
            order = "transform(deployment, {all:Array(String)}, range(length({all:Array(String)})), 0), seq"
        return await self._lines(" AND ".join([where, *wanted]), order, values, limit)

    async def delete(self, deployment: str) -> None:
        sql = f"DELETE FROM {TABLE} WHERE deployment = {{deployment:String}}"  # noqa: S608
        await self._client.command(sql, {"deployment": deployment})

    async def _lines(self, where: str, order: str, values: Mapping[str, Any], limit: int) -> list[LogLine]:
        """Not by LIMIT 1 BY: for that the server sorts all that matches, and not just the first rows."""
        rows = limit
        while True:
            sql = f"{_SELECT} WHERE {where} ORDER BY {order}, came DESC LIMIT {rows:d}"
            found = (await self._client.query(sql, values, _BOUNDED)).result_rows
            once: dict[tuple[str, int], Sequence[Any]] = {}
            for row in found:
                once.setdefault((row[0], row[2]), row)
            if len(once) >= limit or len(found) < rows:
                return list(islice(starmap(_line, once.values()), limit))
            rows *= 2


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
    return tuple(getattr(line, name) for name in _TYPES)


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
