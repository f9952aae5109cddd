"""The live log over a real WebSocket."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from scalemesh.api import Services, stream
from scalemesh.core.logs import LogLine
from scalemesh.testing.factories import Agent
from tests.integration.api.conftest import URL, Api


@asynccontextmanager
async def reading(
    port: int, agent: Agent, token: str, after: int = -1, **headers: str
) -> AsyncIterator[ClientConnection]:
    uri = f"ws://localhost:{port}/v1/deployments/{agent.build.deployment}/logs/stream?after={after}"
    sent = {"Authorization": f"Bearer {token}"} | headers
    async with connect(uri, additional_headers=sent, host="127.0.0.1", port=port, proxy=None) as socket_:
        yield socket_


async def next_of(connection: ClientConnection) -> Any:
    return json.loads(await asyncio.wait_for(connection.recv(), 5))


async def all_of(connection: ClientConnection) -> list[Any]:
    messages = []
    with suppress(ConnectionClosed):
        while True:
            messages.append(await next_of(connection))
    return messages


async def test_lines_as_they_come_then_the_end(api: Api, port: int, agent: Agent) -> None:
    async with reading(port, agent, api.owner) as log:
        assert (await next_of(log))["type"] == "line"  # the control plane's own first one
        await agent.log("first")
        assert (await next_of(log))["text"] == "first"
        await agent.log("second")
        await agent.publish({"/index.html": b"hi"})
        api.kit.clock.advance(seconds=2)
        rest = await all_of(log)
    assert [message.get("text") for message in rest[:-1]] == ["second"]
    assert rest[-1] == {"type": "end", "state": "ready"}
    assert log.close_code == stream.NORMAL


async def test_from_a_number_on(api: Api, port: int, agent: Agent) -> None:
    await agent.log("one", "two", "three")
    await agent.fail()
    async with reading(port, agent, api.owner, after=2) as log:
        messages = await all_of(log)
    assert [message["seq"] for message in messages[:-1]] == list(range(3, 2 + len(messages)))
    assert messages[0]["text"] == "three"
    assert messages[-1] == {"type": "end", "state": "error"}


async def test_lines_that_never_come_are_named(services: Services, api: Api, port: int, agent: Agent) -> None:
    await services.logs.publish([LogLine(deployment=agent.build.deployment, attempt=1, seq=5, ts=0, text="behind")])
    async with reading(port, agent, api.owner, after=1) as log:
        assert json.loads(await asyncio.wait_for(log.recv(), 30)) == {"type": "skipped", "first": 2, "last": 4}
        assert (await next_of(log))["text"] == "behind"


@pytest.mark.parametrize(("token", "status"), [("nobody", 401), ("stranger", 404)])
async def test_refused_before_it_opens(api: Api, port: int, agent: Agent, token: str, status: int) -> None:
    secret = api.stranger if token == "stranger" else "smp_wrong"
    with pytest.raises(InvalidStatus) as refused:
        async with reading(port, agent, secret):
            pass
    assert refused.value.response.status_code == status
    assert json.loads(refused.value.response.body or b"")["status"] == status


async def test_foreign_origin_is_refused(api: Api, port: int, agent: Agent) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with reading(port, agent, api.owner, Origin="https://evil.example"):
            pass
    assert refused.value.response.status_code == 403


async def test_own_origin_is_let_in(api: Api, port: int, agent: Agent) -> None:
    async with reading(port, agent, api.owner, Origin=URL) as log:
        assert (await next_of(log))["seq"] == 0


async def test_permission_is_looked_at_again(
    api: Api, port: int, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.05)
    async with reading(port, agent, api.owner) as log:
        assert (await next_of(log))["type"] == "line"
        assert (await next_of(log))["type"] == "heartbeat"
        (token,) = [item["id"] for item in (await api.ok("GET", "/v1/tokens"))["items"]]
        await api.ok("DELETE", f"/v1/tokens/{token}")
        assert {message["type"] for message in await all_of(log)} <= {"heartbeat"}
    assert log.close_code == stream.NOT_ALLOWED


async def test_a_stop_asks_to_come_back(api: Api, services: Services, port: int, agent: Agent) -> None:
    async with reading(port, agent, api.owner) as log:
        assert (await next_of(log))["seq"] == 0
        services.stopping.set()
        assert await all_of(log) == []
    assert log.close_code == stream.RESTARTING


async def test_a_reader_that_leaves_leaves_nothing(api: Api, port: int, agent: Agent) -> None:
    before = {task for task in asyncio.all_tasks() if "LogStream" in repr(task.get_coro())}
    async with reading(port, agent, api.owner) as log:
        assert (await next_of(log))["seq"] == 0
        during = {task for task in asyncio.all_tasks() if "LogStream" in repr(task.get_coro())}
        assert len(during) > len(before)
    async with asyncio.timeout(5):
        while any("LogStream" in repr(task.get_coro()) for task in asyncio.all_tasks()):
            await asyncio.sleep(0)
