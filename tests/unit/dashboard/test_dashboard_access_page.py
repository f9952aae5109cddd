"""The page of a project's access records."""

import httpx
import pytest

from scalemesh.core.clock import now_ms
from scalemesh.dashboard.words import size
from scalemesh.testing.access_contract import batch, record, totals
from tests.unit.dashboard.memory_services import MemoryServices


@pytest.fixture
async def busy(services: MemoryServices) -> None:
    now, project = now_ms(), services.projects.all[0].id
    rows = [(200, "/"), (404, "/nothing"), (404, "/<script>alert(1)</script>"), (503, "/late")]
    for number, (status, path) in enumerate(rows):
        seen = record(now, project=project, status=status, path=path)
        await services.logs.access.append([batch(number, seen, totals(now, project=project, status=status))])


async def test_an_empty_project_says_so(member: httpx.AsyncClient) -> None:
    assert "Nobody has asked for anything yet" in (await member.get("/projects/shop/access")).text


@pytest.mark.usefixtures("busy")
async def test_shows_requests_and_what_the_hour_was_like(member: httpx.AsyncClient) -> None:
    text = (await member.get("/projects/shop/access")).text
    assert text.count("rows-access") == 1
    assert text.count("from 198.51.100.0/24") == 4
    assert '<dt>4xx</dt><dd class="num">2</dd>' in text
    assert "one of 4 at that moment" in text


@pytest.mark.usefixtures("busy")
async def test_paths_are_text(member: httpx.AsyncClient) -> None:
    text = (await member.get("/projects/shop/access")).text
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text


@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize(("status", "shown"), [("4xx", 2), ("5xx", 1), ("3xx", 0), ("nonsense", 4)])
async def test_filters_by_class(member: httpx.AsyncClient, status: str, shown: int) -> None:
    text = (await member.get(f"/projects/shop/access?status={status}")).text
    assert text.count("from 198.51.100.0/24") == shown


@pytest.mark.usefixtures("busy")
async def test_another_project_has_none_of_it(member: httpx.AsyncClient) -> None:
    assert "Nobody has asked" in (await member.get("/projects/docs/access")).text


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_999, "1.0 MB"), (5 * 10**12, "5.0 TB")]
)
def test_size(count: int, words: str) -> None:
    assert size(count) == words
