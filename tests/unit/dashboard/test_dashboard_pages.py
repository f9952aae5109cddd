"""Every page renders, with the headers that keep it safe."""

import re

import httpx
import pytest

from scalemesh.dashboard.words import FILTERS
from scalemesh.db.tables import Role
from scalemesh.deployments.views import QueueView
from tests.unit.dashboard.memory_services import MemoryServices, deployment, project

READY = "dpl_01jdy5q8v3k5w7x9z2b4c6d8f0"
BUILDING = "dpl_01jdy7q8v3k5w7x9z2b4c6d8f0"
FAILED = "dpl_01jdy6q8v3k5w7x9z2b4c6d8f0"
PAGES = [
    "/",
    "/new",
    "/new?url=https://github.com/acme/shop",
    "/projects/shop",
    "/projects/playground",
    "/projects/shop/settings",
    "/projects/shop/env",
    "/projects/shop/access",
    "/projects/shop/logs",
    "/projects/shop/delete",
    "/tokens",
    f"/deployments/{READY}",
    f"/deployments/{BUILDING}",
    f"/deployments/{FAILED}",
]


@pytest.mark.parametrize("path", PAGES)
async def test_page_renders(member: httpx.AsyncClient, path: str) -> None:
    answer = await member.get(path)

    assert answer.status_code == 200
    assert answer.text.rstrip().endswith("</html>")


@pytest.mark.parametrize("path", [*PAGES, "/login", "/nowhere"])
async def test_no_inline_code_and_one_main_heading(member: httpx.AsyncClient, path: str) -> None:
    text = (await member.get(path, follow_redirects=True)).text

    assert re.findall(r"<script(?![^>]* src=)|<style|\sstyle=|\son[a-z]+=|javascript:", text) == []
    assert text.count("<h1") == 1


@pytest.mark.parametrize("path", PAGES)
async def test_every_field_has_a_label_and_every_id_is_unique(member: httpx.AsyncClient, path: str) -> None:
    text = (await member.get(path)).text
    ids = re.findall(r'\sid="([^"]+)"', text)
    fields = re.findall(r'<(?:input|select|textarea)(?![^>]*type="hidden")[^>]*>', text)
    named = [field for field in fields if "aria-label=" not in field]
    labels = set(re.findall(r'for="([^"]+)"', text))
    unlabelled = [field for field in named if not labels & set(re.findall(r'id="([^"]+)', field))]

    assert unlabelled == []
    assert sorted(ids) == sorted(set(ids))


async def test_security_headers(member: httpx.AsyncClient) -> None:
    headers = (await member.get("/")).headers

    assert "script-src 'self'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "same-origin"


async def test_names_and_messages_are_escaped(member: httpx.AsyncClient, services: MemoryServices) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    commit = deployment("dpl_x").commit
    assert commit is not None
    changed = type(commit)(sha=commit.sha, ref=hostile, message=hostile, author=hostile)
    services.deployments.all = [deployment("dpl_x", commit=changed)]
    services.projects.all = [project("shop")]

    for path in ("/projects/shop", "/deployments/dpl_x"):
        text = (await member.get(path)).text
        assert "<img" not in text
        assert "&lt;img src=x" in text


async def test_unknown_address_is_a_page(member: httpx.AsyncClient) -> None:
    answer = await member.get("/no/such/page")

    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("text/html")


async def test_unknown_api_address_is_not_ours(member: httpx.AsyncClient) -> None:
    answer = await member.get("/v1/no-such-thing")

    assert answer.headers["Content-Type"] == "application/json"


async def test_unknown_deployment_says_so(member: httpx.AsyncClient) -> None:
    answer = await member.get("/deployments/dpl_nothing")

    assert answer.status_code == 404
    assert "Nothing here" in answer.text


async def test_an_unexpected_error_is_a_page_without_its_cause(
    member: httpx.AsyncClient, services: MemoryServices
) -> None:
    services.deployments.refuse = RuntimeError("the secret cause")

    answer = await member.post(f"/deployments/{READY}/promote")

    assert answer.status_code == 500
    assert "the secret cause" not in answer.text


async def test_empty_start_page_says_what_to_do(member: httpx.AsyncClient, services: MemoryServices) -> None:
    services.projects.all = []

    text = (await member.get("/")).text

    assert "Deploy your first site" in text
    assert 'href="/new"' in text


async def test_a_viewer_sees_no_buttons_that_change_things(member: httpx.AsyncClient, services: MemoryServices) -> None:
    actor = services.accounts.actor
    services.accounts.actor = type(actor)(actor.user_id, actor.team_id, actor.team_slug, Role.VIEWER)

    text = (await member.get("/projects/shop")).text

    assert "/promote" not in text
    assert "/rollback" not in text
    assert "/deploy" not in re.findall(r'action="([^"]+)"', text)


@pytest.mark.parametrize("earlier", [True, False])
async def test_roll_back_is_offered_where_there_is_something_to_go_back_to(
    member: httpx.AsyncClient, services: MemoryServices, earlier: bool
) -> None:
    services.deployments.earlier = earlier
    assert ('action="/projects/shop/rollback"' in (await member.get("/projects/shop")).text) == earlier


async def test_a_running_build_is_live_and_a_finished_one_is_not(member: httpx.AsyncClient) -> None:
    running, finished = [(await member.get(f"/deployments/{each}")).text for each in (BUILDING, READY)]

    assert "data-live" in running
    assert "data-live" not in finished
    assert 'data-ended="ready"' in finished


async def test_one_deployment_is_marked_live(member: httpx.AsyncClient) -> None:
    text = (await member.get("/projects/shop")).text

    assert text.count(">Live<") == 1


async def test_a_project_without_repository_offers_no_deploy(
    member: httpx.AsyncClient, services: MemoryServices
) -> None:
    services.projects.all = [project("shop", git_url=None)]

    text = (await member.get("/projects/shop")).text

    assert 'action="/projects/shop/deploy"' not in text


async def test_log_as_text(member: httpx.AsyncClient, services: MemoryServices) -> None:
    from scalemesh.core.logs import LogLine

    line = LogLine(deployment=READY, attempt=1, seq=0, ts=1_700_000_000_000, text="\x1b[32mok\x1b[0m")
    services.logs.lines = [line, LogLine(deployment=READY, attempt=1, seq=1, ts=1_700_000_000_001, text="done")]

    answer = await member.get(f"/deployments/{READY}/log.txt")

    assert answer.text == "2023-11-14T22:13:20.000Z ok\n2023-11-14T22:13:20.001Z done\n"
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"


def test_every_filter_is_used() -> None:
    from scalemesh.dashboard.render import templates

    environment = templates()
    assert environment.loader is not None
    sources = "".join(environment.loader.get_source(environment, name)[0] for name in environment.list_templates())
    assert [name for name in FILTERS if f"|{name}" not in sources] == []


@pytest.mark.parametrize(
    ("queue", "shown"),
    [
        (QueueView(position=1, expected_wait_s=None), "Next in the queue</span>"),
        (QueueView(position=3, expected_wait_s=95), "Number 3 in the queue, about 1m 35s to wait"),
    ],
    ids=["next", "waits"],
)
async def test_place_in_the_queue_is_shown(
    member: httpx.AsyncClient, services: MemoryServices, queue: QueueView, shown: str
) -> None:
    services.deployments.all = [deployment("dpl_x", "queued", queue=queue)]
    assert shown in (await member.get("/deployments/dpl_x")).text


async def test_rules_that_were_left_out_are_named(member: httpx.AsyncClient, services: MemoryServices) -> None:
    services.deployments.contents.complaints = ("_redirects:2: a <b>bad</b> rule",)
    shown = (await member.get(f"/deployments/{READY}")).text
    assert "_redirects:2: a &lt;b&gt;bad&lt;/b&gt; rule" in shown
    assert "left out" not in (await member.get(f"/deployments/{BUILDING}")).text
