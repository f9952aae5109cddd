"""Access records in ClickHouse: two tables in reading order, beside the log lines.

A row that came twice lies there twice until parts are merged: `LIMIT 1 BY` its key counts it once.
"""

from collections.abc import Sequence

from scalemesh.core.access import AccessBatch, AccessRecord
from scalemesh.logs.access.base import AccessArchive, Found, Place, Sum, Wanted
from scalemesh.logs.archive.clickhouse_connection import ClickHouseConnection
from scalemesh.logs.archive.clickhouse_schema import ACCESS_RECORDS, ACCESS_TOTALS

_AT, _NAME = "DateTime64(3, 'UTC')", "LowCardinality(String)"
_DETAILS = {
    "host": _NAME,
    "method": _NAME,
    "path": "String",
    "status": "UInt16",
    "cache": _NAME,
    "bytes": "UInt64",
    "took_us": "UInt64",
    "client": "String",
    "rate": "Float64",
}
_RECORDS = {"project": "String", "at": _AT, "spool": _NAME, "number": "UInt64", "place": "UInt32", **_DETAILS}
_COUNTS = {"requests": "UInt64", "bytes": "UInt64", "took_us": "UInt64", "latency": "Array(UInt64)"}
_TOTALS = {
    "project": "String",
    "at": _AT,
    "status": "UInt16",
    "cache": _NAME,
    "spool": _NAME,
    "number": "UInt64",
    **_COUNTS,
}
_WANTED = (
    "project = {project:String} AND at >= fromUnixTimestamp64Milli({since:Int64})"
    " AND at < fromUnixTimestamp64Milli({until:Int64}) AND status BETWEEN {first:UInt16} AND {last:UInt16}"
)
_BEHIND = (
    " AND at <= fromUnixTimestamp64Milli({at:Int64}) AND (at, spool, number, place)"
    " < (fromUnixTimestamp64Milli({at:Int64}), {spool:String}, {number:UInt64}, {place:UInt32})"
)
_SELECT = f"SELECT toUnixTimestamp64Milli(at), spool, number, place, {', '.join(_DETAILS)} FROM {ACCESS_RECORDS}"  # noqa: S608
_NEWEST = "ORDER BY project DESC, at DESC, spool DESC, number DESC, place DESC LIMIT 1 BY at, spool, number, place"
_SUMS = f"""
SELECT intDiv(toUnixTimestamp64Milli(at), {{step:Int64}}) * {{step:Int64}} AS since, status, cache,
    sum(requests), sum(bytes), sum(took_us), sumForEach(latency)
FROM (SELECT * FROM {ACCESS_TOTALS} WHERE {_WANTED} LIMIT 1 BY at, status, cache, spool, number)
GROUP BY since, status, cache ORDER BY since, status, cache"""  # noqa: S608


class ClickHouseAccess(AccessArchive):
    def __init__(self, client: ClickHouseConnection) -> None:
        self._client = client

    async def append(self, batches: Sequence[AccessBatch]) -> None:
        records = [
            (r.project, r.at, batch.spool, batch.number, index, *(getattr(r, name) for name in _DETAILS))
            for batch in batches
            for index, r in enumerate(batch.rows.records)
        ]
        totals = [
            (t.project, t.at, t.status, t.cache, batch.spool, batch.number, *(getattr(t, name) for name in _COUNTS))
            for batch in batches
            for t in batch.rows.totals
        ]
        await self._client.insert(ACCESS_RECORDS, _RECORDS, records)
        await self._client.insert(ACCESS_TOTALS, _TOTALS, totals)

    async def records(self, wanted: Wanted, before: Place | None = None, limit: int = 100) -> list[Found]:
        values, behind = _values(wanted), ""
        if before is not None:
            values |= {"at": before.at, "spool": before.spool, "number": before.number, "place": before.index}
            behind = _BEHIND
        found = await self._client.query(f"{_SELECT} WHERE {_WANTED}{behind} {_NEWEST} LIMIT {int(limit)}", values)
        return [_found(wanted.project, *row) for row in found.result_rows]

    async def sums(self, wanted: Wanted, step_ms: int) -> list[Sum]:
        found = await self._client.query(_SUMS, _values(wanted) | {"step": step_ms})
        return [Sum(*row) for row in found.result_rows]

    async def delete(self, project: str) -> None:
        for table in (ACCESS_RECORDS, ACCESS_TOTALS):
            await self._client.command(f"DELETE FROM {table} WHERE project = {{p:String}}", {"p": project})  # noqa: S608

    async def retain(self, days: int) -> None:
        for table in (ACCESS_RECORDS, ACCESS_TOTALS):
            await self._client.expire(table, "at", days)


def _values(wanted: Wanted) -> dict[str, object]:
    first, last = wanted.statuses
    return {"project": wanted.project, "since": wanted.since, "until": wanted.until, "first": first, "last": last}


def _found(project: str, at: int, spool: str, number: int, index: int, *details: object) -> Found:
    fields = dict(zip(_DETAILS, details, strict=True))
    return Found(Place(at, spool, number, index), AccessRecord(at=at, project=project, **fields))  # type: ignore[arg-type]
