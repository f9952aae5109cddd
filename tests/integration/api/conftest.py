"""The API over real services on a real database, asked through ASGI, without a network."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, cast

import httpx
import pytest
import uvicorn
from blockbuster import blockbuster_ctx

from scalemesh.accounts import Actor
from scalemesh.api import GatheringWebSockets, Services, create_app
from scalemesh.db.tables import Role
from scalemesh.sources import Peek, Sources
from scalemesh.testing.factories import Agent, Kit

URL = "http://localhost:8000"


class PeekingSources:
    """A repository that anybody may look at."""

    async def peek(self, url: str, ref: str | None, settings: object, credentials: object) -> Peek:
        return Peek(commit="a" * 40, ref=ref or "main", message=url, author="", files=["index.html"], plan=None)


@dataclass
class Api:
    """`owner` is one in team `acme`, `stranger` one in another team."""

    kit: Kit
    services: Services
    http: httpx.AsyncClient
    owner: str
    stranger: str

    async def ask(self, method: str, path: str, *, token: str | None = None, **options: Any) -> httpx.Response:
        """As the owner unless a token is given; an empty token is nobody."""
        secret = self.owner if token is None else token
        headers = {"Authorization": f"Bearer {secret}"} if secret else {}
        return await self.http.request(method, path, headers=headers | options.pop("headers", {}), **options)

    async def ok(self, method: str, path: str, **options: Any) -> Any:
        answer = await self.ask(method, path, **options)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    async def actor(self) -> Actor:
        return await self.kit.accounts.actor_for_token(self.owner)


async def token_of(kit: Kit, team: str, role: Role = Role.OWNER, scope: str = "full") -> str:
    actor = await kit.actor(team, role)
    _, secret = await kit.accounts.create_token(actor, "test", "read" if scope == "read" else "full")
    return secret


@pytest.fixture
def services(kit: Kit) -> Services:
    return Services(
        db=kit.db,
        accounts=kit.accounts,
        projects=kit.projects,
        deployments=kit.deployments,
        sources=cast("Sources", PeekingSources()),
        logs=kit.logs,
        url=URL,
        sites_url="http://*.localhost:8080",
        hosts=frozenset({"localhost"}),
    )


@pytest.fixture
async def api(kit: Kit, services: Services) -> AsyncIterator[Api]:
    transport = httpx.ASGITransport(create_app(services), raise_app_exceptions=False, client=("127.0.0.1", 1234))
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url=URL))
        made = Api(kit, services, http, await token_of(kit, "acme"), await token_of(kit, "globex"))
        with blockbuster_ctx("scalemesh"):  # what blocks the event loop fails: builds are dispatched from it, too
            yield made


@pytest.fixture
async def port(services: Services) -> AsyncIterator[int]:
    """The application behind the server that it runs on in production."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        config = uvicorn.Config(
            create_app(services), ws=GatheringWebSockets, lifespan="off", log_config=None, access_log=False
        )
        server = uvicorn.Server(config)
        running = asyncio.create_task(server._serve([listener]))
        yield int(listener.getsockname()[1])
        server.should_exit = True
        await running


@pytest.fixture
async def agent(api: Api) -> Agent:
    actor = await api.actor()
    await api.kit.project(actor)
    await api.kit.queued(actor)
    return await api.kit.launched()
