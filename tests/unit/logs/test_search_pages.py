"""Pages of hits: every hit once, however little is searched for one page."""

from collections.abc import Sequence

import pytest

from scalemesh.core.logs import LogLine
from scalemesh.errors import InvalidInput
from scalemesh.logs import hits
from scalemesh.logs.archive.memory import MemoryArchive
from scalemesh.logs.search import Search, too_long

DEPLOYMENTS = [f"dpl_{number:02}" for number in range(40)]
WITH_HITS = [(deployment, seq) for deployment in ("dpl_07", "dpl_30", "dpl_31") for seq in range(3)]


async def filled(archive: MemoryArchive) -> MemoryArchive:
    await archive.append(
        [LogLine(deployment=deployment, attempt=1, seq=seq, ts=0, text="needle") for deployment, seq in WITH_HITS]
    )
    return archive


async def pages(archive: MemoryArchive, limit: int) -> list[list[tuple[str, int]]]:
    found: list[list[tuple[str, int]]] = []
    cursor: str | None = None
    while not found or cursor is not None:
        page = await hits.find(archive, DEPLOYMENTS, Search("needle"), cursor, limit=limit, context=0)
        found.append([(hit.line.deployment, hit.line.seq) for hit in page.hits])
        cursor = page.next
        assert len(found) <= len(DEPLOYMENTS) + len(WITH_HITS), "it does not come to an end"
    return found


def flat(found: Sequence[Sequence[tuple[str, int]]]) -> list[tuple[str, int]]:
    return [hit for page in found for hit in page]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 50])
async def test_every_hit_once_and_in_order(limit: int) -> None:
    found = await pages(await filled(MemoryArchive()), limit)
    assert flat(found) == WITH_HITS
    assert all(len(page) == limit for page in found[:-1])


@pytest.mark.parametrize("limit", [1, 3, 50])
async def test_a_page_ends_in_time_and_the_next_goes_on(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(hits, "PAGE_S", 1e-9)
    monkeypatch.setattr(hits, "_GROWTH", 1)
    found = await pages(await filled(MemoryArchive()), limit)
    assert flat(found) == WITH_HITS
    assert [] in found


class Slow(MemoryArchive):
    """Cannot search several at once in the time that a query has."""

    async def find(
        self, deployments: Sequence[str], search: Search, after: int = -1, limit: int = 100
    ) -> list[LogLine]:
        if len(deployments) > 1:
            raise too_long()
        return await super().find(deployments, search, after, limit)


async def test_what_takes_too_long_together_is_searched_one_by_one() -> None:
    assert flat(await pages(await filled(Slow()), 4)) == WITH_HITS


class Stuck(MemoryArchive):
    async def find(
        self, deployments: Sequence[str], search: Search, after: int = -1, limit: int = 100
    ) -> list[LogLine]:
        raise too_long()


async def test_one_that_takes_too_long_by_itself_is_told() -> None:
    with pytest.raises(InvalidInput, match="took more than"):
        await hits.find(Stuck(), DEPLOYMENTS, Search("needle"), None, limit=4, context=0)
