"""The parts of a real edge; see harness.py."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.edge.harness import Edge, FeedServer, Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "artifacts")


@pytest.fixture
async def feed() -> AsyncIterator[FeedServer]:
    server = FeedServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def edge(tmp_path: Path, store: Store, feed: FeedServer) -> AsyncIterator[Edge]:
    running = Edge(tmp_path / "data", store, feed.port)
    await asyncio.to_thread(running.start)
    yield running
    await asyncio.to_thread(running.clean)
