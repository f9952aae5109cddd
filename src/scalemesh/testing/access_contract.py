"""What every archive of access records must do: subclass AccessContract and give it an `access` fixture."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence

import pytest

from scalemesh.core.access import LATENCY_BOUNDS_US, AccessBatch, AccessRecord, AccessRows, AccessTotals, Cache
from scalemesh.core.clock import now_ms
from scalemesh.logs.access.base import DAY_MS, AccessArchive, Found, Place, Wanted

PROJECT = "prj_1"
AT = 1_790_000_000_000
_BUCKETS = len(LATENCY_BOUNDS_US) + 1


def record(at: int = AT, *, project: str = PROJECT, status: int = 200, path: str = "/") -> AccessRecord:
    return AccessRecord(
        at=at,
        project=project,
        host="blog.localhost",
        method="GET",
        path=path,
        status=status,
        cache="hit",
        bytes=12,
        took_us=345,
        client="198.51.100.0/24",
        rate=0.25,
    )


def totals(
    at: int = AT, *, project: str = PROJECT, status: int = 200, cache: Cache = "hit", requests: int = 1, bucket: int = 0
) -> AccessTotals:
    latency = [requests if number == bucket else 0 for number in range(_BUCKETS)]
    return AccessTotals(
        at=at, project=project, status=status, cache=cache, requests=requests, bytes=10, took_us=100, latency=latency
    )


def batch(number: int, *rows: AccessRecord | AccessTotals, spool: str = "spool") -> AccessBatch:
    return AccessBatch(
        spool=spool,
        number=number,
        rows=AccessRows(
            totals=[row for row in rows if isinstance(row, AccessTotals)],
            records=[row for row in rows if isinstance(row, AccessRecord)],
        ),
    )


class AccessContract(ABC):
    @abstractmethod
    @pytest.fixture
    def access(self) -> AsyncIterator[AccessArchive]:
        """An open, empty archive."""

    async def test_gives_back_every_field(self, access: AccessArchive) -> None:
        strange = record(path="/naïve/🦀/%00'\\\"")
        await access.append([batch(7, record(AT - 1), strange)])
        assert await access.records(Wanted(PROJECT)) == [
            Found(Place(AT, "spool", 7, 1), strange),
            Found(Place(AT - 1, "spool", 7, 0), record(AT - 1)),
        ]

    async def test_a_batch_twice_counts_once(self, access: AccessArchive) -> None:
        for _ in range(2):
            await access.append([batch(1, record(), totals(requests=3)), batch(2, totals(requests=4))])
        assert len(await access.records(Wanted(PROJECT))) == 1
        assert [one.requests for one in await access.sums(Wanted(PROJECT), 1000)] == [7]

    async def test_a_batch_twice_in_one_append_counts_once(self, access: AccessArchive) -> None:
        await access.append([batch(1, record(), totals()), batch(1, record(), totals())])
        assert len(await access.records(Wanted(PROJECT))) == 1
        assert [one.requests for one in await access.sums(Wanted(PROJECT), 1000)] == [1]

    async def test_the_same_number_of_another_spool_is_another_batch(self, access: AccessArchive) -> None:
        await access.append([batch(1, record(), totals()), batch(1, record(), totals(), spool="other")])
        assert len(await access.records(Wanted(PROJECT))) == 2
        assert [one.requests for one in await access.sums(Wanted(PROJECT), 1000)] == [2]

    async def test_pages_go_back_in_time_without_gap_or_repeat(self, access: AccessArchive) -> None:
        times = [AT, AT + 5, AT + 5, AT + 7, AT + 7, AT + 7, AT + 9]
        await access.append([batch(number, record(at)) for number, at in enumerate(times)])
        seen: list[Found] = []
        while page := await access.records(Wanted(PROJECT), seen[-1].place if seen else None, limit=2):
            seen += page
        assert [found.place.at for found in seen] == sorted(times, reverse=True)
        assert len({found.place for found in seen}) == len(times)

    async def test_an_empty_append_is_no_trouble(self, access: AccessArchive) -> None:
        await access.append([])
        await access.append([batch(1)])
        assert await access.records(Wanted(PROJECT)) == []

    async def test_another_project_is_not_shown(self, access: AccessArchive) -> None:
        await access.append([batch(1, record(project="prj_2"), totals(project="prj_2"))])
        assert await access.records(Wanted(PROJECT)) == []
        assert await access.sums(Wanted(PROJECT), 1000) == []

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            (Wanted(PROJECT, since=AT + 1), [503, 404]),
            (Wanted(PROJECT, until=AT + 2), [404, 200]),
            (Wanted(PROJECT, since=AT + 1, until=AT + 2), [404]),
            (Wanted(PROJECT, statuses=(404, 404)), [404]),
            (Wanted(PROJECT, statuses=(400, 599)), [503, 404]),
        ],
    )
    async def test_filters(self, access: AccessArchive, wanted: Wanted, expected: Sequence[int]) -> None:
        rows = [(AT, 200), (AT + 1, 404), (AT + 2, 503)]
        for number, (at, status) in enumerate(rows):
            await access.append([batch(number, record(at, status=status), totals(at, status=status))])
        assert [found.record.status for found in await access.records(wanted)] == expected
        assert [one.status for one in await access.sums(wanted, 1)] == [*reversed(expected)]

    async def test_sums_by_step_status_and_cache(self, access: AccessArchive) -> None:
        await access.append([batch(1, totals(AT, bucket=0), totals(AT, status=404, bucket=20))])
        await access.append([batch(2, totals(AT + 1000, requests=4, bucket=1), totals(AT + 1000, cache="miss"))])
        await access.append([batch(3, totals(AT + 60_000))])
        found = await access.sums(Wanted(PROJECT), 60_000)
        first = AT - AT % 60_000
        assert [(one.at, one.status, one.cache, one.requests) for one in found] == [
            (first, 200, "hit", 5),
            (first, 200, "miss", 1),
            (first, 404, "hit", 1),
            (first + 60_000, 200, "hit", 1),
        ]
        assert (found[0].bytes, found[0].took_us, list(found[0].latency[:3])) == (20, 200, [1, 4, 0])
        assert found[2].latency[20] == 1

    async def test_forgets_a_project(self, access: AccessArchive) -> None:
        await access.append([batch(1, record(), totals(), record(project="prj_2"), totals(project="prj_2"))])
        await access.delete(PROJECT)
        await access.delete(PROJECT)
        assert await access.records(Wanted(PROJECT)) == []
        assert await access.sums(Wanted(PROJECT), 1000) == []
        assert len(await access.records(Wanted("prj_2"))) == 1

    async def test_forgets_what_is_too_old(self, access: AccessArchive) -> None:
        now = now_ms()
        for number, at in enumerate([now - 9 * DAY_MS, now]):
            await access.append(
                [batch(number, record(at), totals(at)), batch(number + 10, record(at, project="prj_2"))]
            )
        await access.retain(3)
        await self.settle(access)
        for project in (PROJECT, "prj_2"):
            assert [found.place.at for found in await access.records(Wanted(project))] == [now]
        assert len(await access.sums(Wanted(PROJECT), 1000)) == 1

    async def settle(self, access: AccessArchive) -> None:  # noqa: B027  most forget at once
        """An engine that forgets in its own time is told here to do so."""
