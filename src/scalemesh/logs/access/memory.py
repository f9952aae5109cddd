"""Access records for as long as the process lives: for tests and throw-away runs."""

from collections.abc import Callable, Sequence

from scalemesh.core.access import AccessBatch, AccessRecord, AccessTotals, Cache
from scalemesh.core.clock import now_ms
from scalemesh.logs.access.base import DAY_MS, AccessArchive, Found, Place, Sum, Wanted

Row = AccessTotals | AccessRecord


class MemoryAccess(AccessArchive):
    def __init__(self) -> None:
        self._batches: set[tuple[str, int]] = set()
        self._rows: dict[Place, Row] = {}

    async def append(self, batches: Sequence[AccessBatch]) -> None:
        for batch in batches:
            if (batch.spool, batch.number) not in self._batches:
                self._batches.add((batch.spool, batch.number))
                rows: list[Row] = [*batch.rows.records, *batch.rows.totals]
                for index, row in enumerate(rows):
                    self._rows[Place(row.at, batch.spool, batch.number, index)] = row

    async def records(self, wanted: Wanted, before: Place | None = None, limit: int = 100) -> list[Found]:
        found = [Found(place, row) for place, row in self._matching(wanted) if isinstance(row, AccessRecord)]
        found = [one for one in found if before is None or one.place < before]
        return sorted(found, key=lambda one: one.place, reverse=True)[:limit]

    async def sums(self, wanted: Wanted, step_ms: int) -> list[Sum]:
        groups: dict[tuple[int, int, Cache], list[AccessTotals]] = {}
        for place, row in self._matching(wanted):
            if isinstance(row, AccessTotals):
                groups.setdefault((place.at - place.at % step_ms, row.status, row.cache), []).append(row)
        return [_sum(*key, groups[key]) for key in sorted(groups)]

    async def delete(self, project: str) -> None:
        self._keep(lambda row: row.project != project)

    async def retain(self, days: int) -> None:
        oldest = now_ms() - days * DAY_MS
        self._keep(lambda row: row.at >= oldest)

    def _matching(self, wanted: Wanted) -> list[tuple[Place, Row]]:
        first, last = wanted.statuses
        return [
            (place, row)
            for place, row in self._rows.items()
            if row.project == wanted.project and wanted.since <= row.at < wanted.until and first <= row.status <= last
        ]

    def _keep(self, wanted: Callable[[Row], bool]) -> None:
        self._rows = {place: row for place, row in self._rows.items() if wanted(row)}


def _sum(at: int, status: int, cache: Cache, totals: Sequence[AccessTotals]) -> Sum:
    return Sum(
        at,
        status,
        cache,
        sum(total.requests for total in totals),
        sum(total.bytes for total in totals),
        sum(total.took_us for total in totals),
        [sum(counts) for counts in zip(*(total.latency for total in totals), strict=True)],
    )
