"""The live log over plain HTTP, from the server that it runs on in production."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

import httpx
import pytest
from sqlalchemy import delete

from scalemesh.api import http_stream
from scalemesh.db.tables import Membership
from scalemesh.testing.factories import Agent
from tests.integration.api.conftest import Api

SSE, NDJSON = "text/event-stream", "application/x-ndjson"


@dataclass
class Reader:
    """One log; `token` may read it."""

    port: int
    path: str
    token: str
    accept: str

    @asynccontextmanager
    async def messages(self, query: str = "", **headers: str) -> AsyncIterator[AsyncIterator[Any]]:
        """Until the server ends the answer."""
        sent = {"Host": "localhost", "Authorization": f"Bearer {self.token}", "Accept": self.accept} | headers
        async with (
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}", timeout=10, trust_env=False) as http,
            http.stream("GET", f"{self.path}{query}", headers=sent) as answer,
        ):
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith(self.accept)
            async with aclosing(self._decoded(answer.aiter_lines())) as decoded:
                yield decoded

    async def _decoded(self, lines: AsyncIterator[str]) -> AsyncGenerator[Any, None]:
        number = None
        async for line in lines:
            name, _, value = line.partition(": ")
            if self.accept == NDJSON or name == "data":
                message = json.loads(line if self.accept == NDJSON else value)
                if self.accept == SSE:
                    assert number == message.get("seq")
                    number = None
                yield message
            elif name == "id":
                number = int(value)


@pytest.fixture(params=[SSE, NDJSON])
def reader(request: pytest.FixtureRequest, api: Api, port: int, agent: Agent) -> Reader:
    path = f"/v1/deployments/{agent.build.deployment}/logs/stream"
    return Reader(port, path, api.owner, request.param)


async def revoke(api: Api) -> None:
    (token,) = [item["id"] for item in (await api.ok("GET", "/v1/tokens"))["items"]]
    await api.ok("DELETE", f"/v1/tokens/{token}")


async def remove_member(api: Api) -> None:
    actor = await api.actor()
    async with api.kit.db.write() as session:
        await session.execute(
            delete(Membership).where(Membership.user_id == actor.user_id, Membership.team_id == actor.team_id)
        )


@pytest.mark.matrix
@pytest.mark.parametrize("shut_out", [revoke, remove_member])
async def test_a_quiet_stream_ends_once_its_reader_is_shut_out(
    api: Api, reader: Reader, monkeypatch: pytest.MonkeyPatch, shut_out: Callable[[Api], Any]
) -> None:
    monkeypatch.setattr(http_stream, "HEARTBEAT_S", 0.05)
    async with asyncio.timeout(10), reader.messages() as messages:
        assert (await anext(messages))["type"] == "line"
        assert (await anext(messages))["type"] == "heartbeat"
        await shut_out(api)
        assert {message["type"] async for message in messages} <= {"heartbeat"}


async def test_a_stream_ends_once_its_reader_is_shut_out_however_busy_the_build_is(
    api: Api, reader: Reader, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its heartbeats are not those of a quiet log: lines come more often than they would."""
    monkeypatch.setattr(http_stream, "HEARTBEAT_S", 0.3)

    async def write() -> None:
        for number in count():
            await agent.log(str(number))
            await asyncio.sleep(0.01)

    writing = asyncio.create_task(write())
    try:
        async with asyncio.timeout(10), reader.messages() as messages:
            assert (await anext(messages))["type"] == "line"
            await revoke(api)
            assert {message["type"] async for message in messages} <= {"line", "heartbeat"}
    finally:
        writing.cancel()
        with suppress(asyncio.CancelledError):
            await writing


@pytest.mark.matrix
async def test_a_cut_stream_goes_on_after_the_last_number_without_a_gap_or_a_repeat(
    api: Api, reader: Reader, agent: Agent
) -> None:
    """Cut again and again while lines are written: some of them archived by then, some live."""

    async def write() -> None:
        for first in range(0, 300, 3):
            await agent.log(*(str(number) for number in range(first, first + 3)))
            await asyncio.sleep(0)
        await agent.publish({"/index.html": b"hi"})
        api.kit.clock.advance(seconds=2)

    writing = asyncio.create_task(write())
    seen: list[int] = []
    async with asyncio.timeout(30):
        while await _read(reader, seen, at_most=37):
            pass
    await writing
    assert seen == list(range(len(seen)))
    assert len(seen) > 300


async def _read(reader: Reader, seen: list[int], at_most: int) -> bool:
    """A connection's worth, added to `seen`. False at the end of the log."""
    last = seen[-1] if seen else -1
    header = reader.accept == SSE and seen
    query, headers = ("", {"Last-Event-ID": str(last)}) if header else (f"?after={last}", {})
    async with reader.messages(query, **headers) as messages:
        got = 0
        async for message in messages:
            if message["type"] == "end":
                return False
            if message["type"] == "line":
                seen.append(message["seq"])
                got += 1
            if got == at_most:
                break
    return True
