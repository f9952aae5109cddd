"""Searching logs, and reading them over plain HTTP."""

import json
from typing import Any

import pytest

from scalemesh.testing.factories import Agent
from tests.integration.api.conftest import Api


@pytest.fixture
async def agent(api: Api) -> Agent:
    actor = await api.actor()
    await api.kit.project(actor)
    await api.kit.queued(actor)
    agent = await api.kit.launched()
    await agent.log("one", "Error: 2 files", "three", "no error here")
    return agent


async def found(api: Api, of: str, query: str) -> Any:
    return await api.ok("GET", f"/v1/{of}/logs/search?{query}")


async def test_hits_say_what_matched_and_what_is_around(api: Api, agent: Agent) -> None:
    page = await found(api, f"deployments/{agent.build.deployment}", "q=error&context=1&limit=1")
    (hit,) = page["items"]
    assert hit["deployment"] == agent.build.deployment
    assert (hit["line"]["text"], hit["ranges"]) == ("Error: 2 files", [[0, 5]])
    assert [line["text"] for line in hit["before"] + hit["after"]] == ["one", "three"]


async def test_pages_of_hits_follow_each_other(api: Api, agent: Agent) -> None:
    of = f"deployments/{agent.build.deployment}"
    first = await found(api, of, "q=error&limit=1")
    second = await found(api, of, f"q=error&limit=1&cursor={first['next']}")
    assert [page["items"][0]["line"]["text"] for page in (first, second)] == ["Error: 2 files", "no error here"]
    assert second["next"] is None


async def test_a_projects_newest_deployment_comes_first(api: Api, agent: Agent) -> None:
    await api.kit.queued(await api.actor())
    newer = await api.kit.launched()
    await newer.log("another error")
    page = await found(api, "projects/blog", "q=error")
    assert [hit["line"]["text"] for hit in page["items"]] == ["another error", "Error: 2 files", "no error here"]


@pytest.mark.parametrize(
    ("query", "code"), [("q=(&mode=regex", "invalid_regex"), ("q=x&cursor=nowhere:1", "invalid_cursor")]
)
async def test_what_cannot_be_searched_is_refused(api: Api, agent: Agent, query: str, code: str) -> None:
    answer = await api.ask("GET", f"/v1/deployments/{agent.build.deployment}/logs/search?{query}")
    assert (answer.status_code, answer.json()["code"]) == (422, code)


async def ended(api: Api, agent: Agent) -> str:
    await agent.publish({"/index.html": b"hi"})
    api.kit.clock.advance(seconds=2)
    return f"/v1/deployments/{agent.build.deployment}/logs"


async def test_events_go_on_after_the_last_one_seen(api: Api, agent: Agent) -> None:
    url = await ended(api, agent)
    answer = await api.ask("GET", f"{url}/stream?after=0", headers={"Last-Event-ID": "3"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [dict(line.split(": ", 1) for line in event.split("\n")) for event in answer.text.strip().split("\n\n")]
    assert [(event.get("id"), event["event"]) for event in (events[0], events[-1])] == [("4", "line"), (None, "end")]
    assert json.loads(events[0]["data"])["text"] == "no error here"


async def test_json_lines_where_they_are_asked_for(api: Api, agent: Agent) -> None:
    url = await ended(api, agent)
    answer = await api.ask("GET", f"{url}/stream", headers={"Accept": "application/x-ndjson"})
    messages = [json.loads(line) for line in answer.text.splitlines()]
    assert [message.get("seq") for message in messages[:5]] == [0, 1, 2, 3, 4]
    assert messages[-1] == {"type": "end", "state": "ready"}


async def test_download_is_plain_text(api: Api, agent: Agent) -> None:
    await agent.log("\x1b[31mred\x1b[0m \u202eback")
    answer = await api.ask("GET", f"/v1/deployments/{agent.build.deployment}/logs/text")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text.splitlines()[-1].endswith("Z red <U+202E>back")
