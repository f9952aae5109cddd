"""A snapshot of many routes, as a new edge gets it, comes into force bit by bit."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scalemesh.core.build import BlobRef
from scalemesh.core.documents import encode
from scalemesh.core.manifest import Entry, Manifest
from scalemesh.core.routes import Route, RouteSnapshot
from scalemesh.edge.blobs import Blobs
from scalemesh.edge.index import Generation, IndexReader, IndexWriter
from scalemesh.edge.keeper import Keeper
from scalemesh.edge.prefetch import Prefetch


class Source:
    """Blobs by name; the one called `held` comes once `gate` is open."""

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}
        self.held = ""
        self.gate = asyncio.Event()

    def manifest(self, name: str) -> BlobRef:
        entry = Entry(identity=BlobRef(sha256="e" * 64, size=1), type="text/html")
        data = encode(Manifest(files={f"/{name}.html": entry}))
        sha256 = hashlib.sha256(data).hexdigest()
        self.blobs[sha256] = data
        return BlobRef(sha256=sha256, size=len(data))

    async def stream(self, team: str, sha256: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        if sha256 == self.held:
            await self.gate.wait()
        yield self.blobs[sha256][start:end]


class NoFeed:
    async def poll(self, after: int) -> RouteSnapshot:
        raise NotImplementedError


async def test_hosts_are_served_while_later_manifests_are_still_coming(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scalemesh.edge.keeper.SLICE", 2)
    source = Source()
    routes = [
        Route(host=f"h{n}", version=n + 2, team="t", project="p", deployment="d", manifest=source.manifest(f"m{n}"))
        for n in range(5)
    ]
    last = routes[4].manifest
    assert last is not None
    source.held = last.sha256
    index, generation = IndexWriter(tmp_path / "index.db"), Generation(tmp_path / "generation")
    index.apply([Route(host="old", version=1)], 1)
    blobs = Blobs(tmp_path / "blobs", source, 10**9)
    keeper = Keeper(index, generation, blobs, NoFeed(), Prefetch(blobs))
    applying = asyncio.create_task(keeper.apply(RouteSnapshot(version=9, routes=routes, full=True)))
    reader = IndexReader(tmp_path / "index.db")
    async with asyncio.timeout(10):
        while generation.view[0] < 2:
            await asyncio.sleep(0.01)
    assert [reader.site(f"h{n}") is not None for n in range(5)] == [True] * 4 + [False]
    assert reader.version() == 1  # nothing is acknowledged before all of it is in force
    source.gate.set()
    assert await applying
    assert reader.site("h4") is not None
    assert reader.version() == 9
    reader.close()
    index.close()
    generation.close()
