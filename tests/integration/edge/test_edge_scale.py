"""100,000 hosts and 1,000,000 manifest entries: bounded memory, and nothing asked of whatever is behind the edge."""

import asyncio
import os
import random
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scalemesh.core.documents import decode
from scalemesh.core.manifest import Manifest
from scalemesh.core.routes import Route
from scalemesh.edge.index import IndexWriter
from tests.integration.edge.harness import TEAM, Edge, FeedServer, Store

HOSTS = 100_000
FILES = 10  # of each host
MAX_WORKER_MB = 60

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(600)]


def host(number: int) -> str:
    return f"site-{number}.localhost"


def fill(folder: Path, store: Store) -> None:
    """Each host has a manifest of its own; the files' bytes are the same, so that disk and time suffice."""
    folder.mkdir(parents=True)
    files = {"/index.html": b"x" * 1000} | {f"/page-{number}.html": b"y" * 1000 for number in range(FILES - 1)}
    ref = store.manifest(files)
    manifest = decode(Manifest, store.path(ref.sha256).read_bytes())
    index = IndexWriter(folder / "index.db")
    routes = []
    for number in range(HOSTS):
        sha256 = f"{number:064x}"
        index.add_manifest(TEAM, sha256, manifest)
        routes.append(
            Route(
                host=host(number),
                version=1,
                team=TEAM,
                project=f"prj_{number}",
                deployment=f"dpl_{number}",
                manifest=type(ref)(sha256=sha256, size=ref.size),
            )
        )
    index.apply(routes, 1)
    index.close()


@pytest.fixture
async def edge(tmp_path: Path, store: Store, feed: FeedServer) -> AsyncIterator[Edge]:
    feed.version = 1
    await asyncio.to_thread(fill, tmp_path / "data" / "edge", store)
    running = Edge(tmp_path / "data", store, feed.port)
    await asyncio.to_thread(running.start)
    yield running
    await asyncio.to_thread(running.clean)


def statuses(edge: Edge, hosts: list[str]) -> set[int]:
    found = set()
    for start in range(0, len(hosts), 500):  # the edge ends a connection after 1000
        with edge.connect() as wire:
            for name in hosts[start : start + 500]:
                wire.send(f"GET /page-3.html HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
                found.add(wire.answer().status)
    return found


def resident_mb(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


async def test_a_hundred_thousand_hosts(edge: Edge, feed: FeedServer, store: Store) -> None:
    chosen = [host(number) for number in random.Random(1).sample(range(HOSTS), 10_000)]
    assert await asyncio.to_thread(statuses, edge, chosen) == {200}
    (worker,) = edge.workers()
    assert resident_mb(worker) < MAX_WORKER_MB

    version = await feed.publish(host(7), store.manifest({"/index.html": b"promoted"}))
    await feed.until_acknowledged(version)
    assert (await asyncio.to_thread(edge.get, "/", host(7))).body == b"promoted"

    assert edge.process is not None
    polls = feed.polls
    os.kill(edge.process.pid, signal.SIGSTOP)  # whoever asks behind the worker now waits for ever
    try:
        unknown = [f"nobody-{number}.localhost" for number in range(5000)]
        assert await asyncio.to_thread(statuses, edge, unknown) == {404}
        assert feed.polls == polls
    finally:
        os.kill(edge.process.pid, signal.SIGCONT)
    assert resident_mb(worker) < MAX_WORKER_MB
