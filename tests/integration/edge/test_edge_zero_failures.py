"""No request fails, whatever is done to the edge and to what is behind it, with kept connections and without."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.edge.harness import Edge, FeedServer, Store
from tests.integration.edge.load import Load

HOST = "blog.localhost"
pytestmark = [pytest.mark.matrix]
by_connection = pytest.mark.parametrize("keep", [True, False], ids=["kept", "one-request"])


@pytest.fixture
async def edge(tmp_path: Path, store: Store, feed: FeedServer) -> AsyncIterator[Edge]:
    """Two workers, and a site."""
    running = Edge(tmp_path / "data", store, feed.port, workers=2)
    await asyncio.to_thread(running.start)
    await deploy(feed, store, 0)
    yield running
    await asyncio.to_thread(running.clean)


async def deploy(feed: FeedServer, store: Store, number: int) -> None:
    """A manifest and a page that this edge has never seen."""
    await feed.until_acknowledged(await feed.publish(HOST, store.manifest({"/index.html": b"%d" % number})))


async def replaced(edge: Edge, before: list[int]) -> None:
    await asyncio.to_thread(edge.until, lambda: len(edge.workers()) == 2 and not set(edge.workers()) & set(before))


@by_connection
async def test_promoting_and_rolling_back(edge: Edge, feed: FeedServer, store: Store, keep: bool) -> None:
    manifests = [store.manifest({"/index.html": b"%d" % number}) for number in range(2)]
    with Load(edge, HOST, keep=keep).running() as load:
        for number in range(40):
            await feed.until_acknowledged(await feed.publish(HOST, manifests[number % 2]))
    assert load.failures == []
    assert load.bodies == {b"0", b"1"}


@by_connection
async def test_deploying(edge: Edge, feed: FeedServer, store: Store, keep: bool) -> None:
    with Load(edge, HOST, keep=keep).running() as load:
        for number in range(1, 30):
            await deploy(feed, store, number)
            await asyncio.to_thread(load.until_served, 5)
    assert load.failures == []


@by_connection
async def test_workers_restart(edge: Edge, keep: bool) -> None:
    with Load(edge, HOST, keep=keep).running() as load:
        for _ in range(2):
            before = edge.workers()
            for pid in before:
                os.kill(pid, signal.SIGTERM)
            await replaced(edge, before)
            await asyncio.to_thread(load.until_served, 50)
    assert load.failures == []


@by_connection
async def test_workers_are_killed(edge: Edge, keep: bool) -> None:
    with Load(edge, HOST, keep=keep, patient=True).running() as load:
        for _ in range(2):
            before = edge.workers()
            for pid in before:
                os.kill(pid, signal.SIGKILL)
            await replaced(edge, before)
            await asyncio.to_thread(load.until_served, 50)
    assert load.failures == []


@by_connection
async def test_the_keeper_restarts(edge: Edge, keep: bool) -> None:
    with Load(edge, HOST, keep=keep).running() as load:
        for _ in range(2):
            before = edge.workers()
            assert edge.process is not None
            edge.process.send_signal(signal.SIGHUP)
            await replaced(edge, before)
            await asyncio.to_thread(load.until_served, 50)
    assert load.failures == []


@by_connection
async def test_the_keeper_is_killed_and_started_again(edge: Edge, keep: bool) -> None:
    with Load(edge, HOST, keep=keep, patient=True).running() as load:
        orphans = edge.workers()
        await asyncio.to_thread(edge.stop, signal.SIGKILL)
        await asyncio.to_thread(load.until_served, 50)
        await asyncio.to_thread(edge.start)
        await asyncio.to_thread(edge.until, lambda: not any(map(alive, orphans)))
        await asyncio.to_thread(load.until_served, 50)
    assert load.failures == []


@by_connection
async def test_platform_and_store_go_and_come_back(edge: Edge, feed: FeedServer, store: Store, keep: bool) -> None:
    await asyncio.to_thread(edge.until, lambda: edge.get("/").status == 200)
    away = store.folder.with_name("away")
    with Load(edge, HOST, keep=keep).running() as load:
        await feed.stop()
        await asyncio.to_thread(load.until_served, 50)
        store.folder.rename(away)
        before = edge.workers()
        os.kill(before[0], signal.SIGTERM)  # the next one has nothing in its memory
        await asyncio.to_thread(edge.until, lambda: len(edge.workers()) == 2 and edge.workers() != before)
        await asyncio.to_thread(load.until_served, 50)
        away.rename(store.folder)
        await feed.start()
        await deploy(feed, store, 1)
        await asyncio.to_thread(edge.until, lambda: edge.get("/").body == b"1")
    assert load.failures == []


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
