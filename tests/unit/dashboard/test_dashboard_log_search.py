"""The page that searches in all logs of a project."""

import httpx
import pytest

from scalemesh.core.logs import LogLine
from tests.unit.dashboard.memory_services import MemoryServices


@pytest.fixture(autouse=True)
async def logs(services: MemoryServices) -> None:
    search = services.deployments.log
    search.deployments = ["dpl_new", "dpl_old"]
    texts = ["Installing", "\x1b[31mModule\x1b[0m not found: <b>tax</b>", "at line 3\u202e"]
    for deployment in search.deployments:
        lines = [
            LogLine(deployment=deployment, attempt=1, seq=seq, ts=0, text=text, level="error" if seq == 1 else "info")
            for seq, text in enumerate(texts)
        ]
        await search.archive.append(lines)


async def test_before_a_search_it_says_how(member: httpx.AsyncClient) -> None:
    text = (await member.get("/projects/shop/logs")).text
    assert "in any order" in text
    assert "log-hit" not in text


async def test_hits_stand_between_their_neighbours_and_link_to_their_lines(member: httpx.AsyncClient) -> None:
    text = (await member.get("/projects/shop/logs?q=FOUND")).text
    assert text.index("/deployments/dpl_new#L2") < text.index("/deployments/dpl_old#L2")
    assert text.count("Installing") == text.count("at line 3U+202E") == 2


async def test_what_a_build_wrote_is_text_without_colours(member: httpx.AsyncClient) -> None:
    text = (await member.get("/projects/shop/logs?q=module")).text
    assert '<mark class="hit">Module</mark> not found: &lt;b&gt;tax&lt;/b&gt;' in text


@pytest.mark.parametrize(
    ("query", "hits"),
    [
        ("level=error", 2),
        ("q=f..nd&mode=regex", 2),
        ("q=f..nd&mode=nonsense", 0),
        ("q=not&step=clone", 0),
        ("q=not&hours=1", 0),
    ],
)
async def test_filters(member: httpx.AsyncClient, query: str, hits: int) -> None:
    text = (await member.get(f"/projects/shop/logs?{query}")).text
    assert text.count('class="log-hit"') == hits
    assert ("No line of any build log has that" in text) is (hits == 0)


async def test_a_wrong_expression_is_said_at_its_field(member: httpx.AsyncClient) -> None:
    answer = await member.get("/projects/shop/logs?q=(&mode=regex")
    assert answer.status_code == 422
    assert 'id="f-q-more"' in answer.text


async def test_more_hits_are_on_the_next_page(services: MemoryServices, member: httpx.AsyncClient) -> None:
    many = [LogLine(deployment="dpl_old", attempt=1, seq=seq, ts=0, text="again") for seq in range(3, 33)]
    await services.deployments.log.archive.append(many)
    first = await member.get("/projects/shop/logs?q=again")
    path = first.text.split('class="button" href="')[1].split('"')[0].replace("&amp;", "&")
    second = await member.get(f"/projects/shop/logs{path}")
    assert [page.text.count('class="log-hit"') for page in (first, second)] == [20, 10]
    assert "More hits" not in second.text
