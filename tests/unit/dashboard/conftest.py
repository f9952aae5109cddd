from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from scalemesh.dashboard import router
from tests.unit.dashboard.memory_services import URL, MemoryServices, typed


@pytest.fixture
def services() -> MemoryServices:
    made = MemoryServices()
    made.fill()
    return made


@pytest.fixture
async def visitor(services: MemoryServices) -> AsyncIterator[httpx.AsyncClient]:
    """A browser that has not signed in; it sends Origin, as browsers do, and follows nothing by itself."""
    app = FastAPI()
    app.include_router(router(typed(services)))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=URL, headers={"Origin": URL}) as client:
        yield client


@pytest.fixture
async def member(visitor: httpx.AsyncClient) -> httpx.AsyncClient:
    visitor.cookies.set("scalemesh", "secret")
    return visitor
