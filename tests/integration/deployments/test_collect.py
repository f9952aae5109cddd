"""Garbage collection: what is needed stays, whatever happens at the same time."""

import asyncio
from collections.abc import AsyncIterable
from functools import partial

import pytest

from scalemesh.artifacts.store import BlobStore
from scalemesh.buildserver.retry import retrying
from scalemesh.core.build import UploadFile
from scalemesh.deployments import NewDeployment, NewUpload
from scalemesh.deployments.blobs import Blobs
from scalemesh.deployments.caches import BuildCaches
from scalemesh.deployments.collect import Collected, Collector
from scalemesh.errors import Conflict, NotFound, Unavailable
from scalemesh.testing.factories import DISPATCHER, Kit, frames, ref

LATER_S = 2 * 3600


async def cleaned(kit: Kit) -> None:
    for live in await kit.deployments.queue.live(DISPATCHER):
        await kit.deployments.queue.cleaned(live.attempt)


async def stored(kit: Kit, team: str) -> set[str]:
    return {blob.sha256 async for blob in kit.store.list(team)}


async def test_nothing_goes_that_is_served(kit: Kit) -> None:
    actor = await kit.actor()
    await kit.project(actor)
    await kit.ready(actor, files={"/index.html": b"one", "/a.css": b"two"})
    before = await stored(kit, actor.team_id)
    kit.clock.advance(seconds=LATER_S)
    assert await kit.deployments.collector.collect() == Collected(kept=3)
    assert await stored(kit, actor.team_id) == before


async def test_a_deleted_deployments_blobs_go_but_those_it_shares(kit: Kit) -> None:
    actor = await kit.actor()
    await kit.project(actor)
    old = await kit.ready(actor, target="preview", files={"/index.html": b"old", "/a.css": b"shared"})
    await kit.ready(actor, files={"/index.html": b"new", "/a.css": b"shared"})
    await cleaned(kit)
    await kit.deployments.delete(actor, old.id)
    kit.clock.advance(seconds=LATER_S)
    gone = await kit.deployments.collector.collect()
    left = await stored(kit, actor.team_id)
    assert (gone.blobs, gone.kept) == (2, 3)
    assert ref(b"shared").sha256 in left
    assert ref(b"old").sha256 not in left


async def test_dry_run_says_the_same_and_changes_nothing(kit: Kit) -> None:
    actor = await kit.actor()
    await kit.project(actor)
    await kit.deployments.uploads.put(actor, "blog", frames([b"garbage"]))
    kit.clock.advance(seconds=LATER_S)
    told = await kit.deployments.collector.collect(dry_run=True)
    assert told == Collected(blobs=1, bytes=7)
    assert await stored(kit, actor.team_id) == {ref(b"garbage").sha256}
    assert await kit.deployments.collector.collect() == told
    assert await stored(kit, actor.team_id) == set()


async def test_what_was_promised_lately_stays(kit: Kit) -> None:
    actor = await kit.actor()
    await kit.project(actor)
    await kit.deployments.uploads.put(actor, "blog", frames([b"old"]))
    kit.clock.advance(seconds=LATER_S)
    assert await kit.deployments.uploads.missing(actor, "blog", [ref(b"old")]) == []
    assert (await kit.deployments.collector.collect()).blobs == 0


async def test_an_uploads_files_are_needed(kit: Kit) -> None:
    actor = await kit.actor()
    await kit.project(actor)
    await kit.deployments.uploads.put(actor, "blog", frames([b"source"]))
    file = UploadFile(path="index.html", sha256=ref(b"source").sha256, size=6)
    await kit.deployments.create(actor, "blog", NewDeployment(source=NewUpload(files=[file])))
    kit.clock.advance(seconds=LATER_S)
    assert await kit.deployments.collector.collect() == Collected(kept=2)


async def test_collected_is_absent_and_can_come_again(kit: Kit) -> None:
    actor = await kit.actor()
    await kit.project(actor)
    await kit.deployments.uploads.put(actor, "blog", frames([b"again"]))
    kit.clock.advance(seconds=LATER_S)
    await kit.deployments.collector.collect()
    assert await kit.deployments.uploads.missing(actor, "blog", [ref(b"again")]) == [ref(b"again").sha256]
    await kit.deployments.uploads.put(actor, "blog", frames([b"again"]))
    assert await kit.deployments.uploads.missing(actor, "blog", [ref(b"again")]) == []
    assert (await kit.deployments.collector.collect()).blobs == 0
    assert await kit.store.get(actor.team_id, ref(b"again").sha256) == b"again"


async def test_bytes_whose_upload_broke_off_go_in_the_end(kit: Kit) -> None:
    actor = await kit.actor()
    await kit.store.put(actor.team_id, ref(b"orphan").sha256, b"orphan")
    assert (await kit.deployments.collector.collect()).blobs == 0
    kit.clock.advance(seconds=LATER_S)
    assert (await kit.deployments.collector.collect()).blobs == 1
    assert await stored(kit, actor.team_id) == set()


class SlowStore(BlobStore):
    """Stops after it has stored something, until it is told to go on."""

    def __init__(self) -> None:
        super().__init__("memory:///")
        self.has_stored, self.go_on = asyncio.Event(), asyncio.Event()

    async def put(
        self, team: str, sha256: str, data: bytes | AsyncIterable[bytes], *, max_bytes: int | None = None
    ) -> int:
        size = await super().put(team, sha256, data, max_bytes=max_bytes)
        self.has_stored.set()
        await self.go_on.wait()
        return size


async def test_an_upload_that_stored_before_the_bytes_went_sends_them_again(kit: Kit) -> None:
    """The race that would leave a row without bytes."""
    actor, store = await kit.actor(), SlowStore()
    blobs = Blobs(kit.db, store, kit.clock)
    caches = BuildCaches(kit.db, store, blobs, kit.clock, max_bytes=0)
    collector = Collector(kit.db, store, blobs, caches, kit.clock, keep_ms=3600_000)
    store.go_on.set()
    await blobs.put(actor.team_id, ref(b"x").sha256, b"x")
    kit.clock.advance(seconds=LATER_S)
    store.has_stored.clear()
    store.go_on.clear()
    uploading = asyncio.create_task(blobs.put(actor.team_id, ref(b"x").sha256, b"x"))
    await store.has_stored.wait()
    assert (await collector.collect()).blobs == 1
    store.go_on.set()
    with pytest.raises(Unavailable):
        await uploading
    assert await blobs.sizes(actor.team_id, [ref(b"x").sha256]) == {}
    await blobs.put(actor.team_id, ref(b"x").sha256, b"x")
    assert await store.get(actor.team_id, ref(b"x").sha256) == b"x"


async def test_deploys_and_collections_at_once_leave_nothing_dangling(kit: Kit) -> None:
    """Each deployment shares half of its files with one that is deleted meanwhile.

    Its agent sends again what is collected between its two steps, as real ones do.
    """
    actor = await kit.actor()
    await kit.project(actor)
    for n in range(6):
        made = await kit.ready(actor, target="preview", files={"/index.html": b"v%d" % n, "/shared.css": b"shared"})
        await cleaned(kit)
        kit.clock.advance(seconds=LATER_S)
        new = await kit.queued(actor, target="preview")
        agent = await kit.launched()
        publish = partial(agent.publish, {"/index.html": b"w%d" % n, "/shared.css": b"shared"})
        await asyncio.gather(
            retrying(publish),
            kit.deployments.delete(actor, made.id),
            kit.deployments.collector.collect(),
        )
        for file in await kit.deployments.contents.files(actor, new.id):
            assert await kit.store.head(actor.team_id, file.sha256) == file.size


async def test_due_once_a_day_for_one(kit: Kit) -> None:
    collector = kit.deployments.collector
    assert not await collector.is_due()
    kit.clock.advance(seconds=24 * 3600)
    assert sorted(await asyncio.gather(*(collector.is_due() for _ in range(4)))) == [False, False, False, True]


class TestDelete:
    async def test_is_gone_with_its_host_and_log(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        old = await kit.ready(actor, target="preview")
        await cleaned(kit)
        version = await kit.deployments.routes.version()
        await kit.deployments.delete(actor, old.id)
        with pytest.raises(NotFound):
            await kit.deployments.get(actor, old.id)
        assert await kit.deployments.routes.version() == version + 1
        assert await kit.logs.read(old.id, -1, 10) == []

    async def test_production_stays(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        live = await kit.ready(actor)
        await cleaned(kit)
        with pytest.raises(Conflict, match="in production"):
            await kit.deployments.delete(actor, live.id)

    async def test_what_is_not_over_stays(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        made = await kit.queued(actor)
        with pytest.raises(Conflict, match="not over"):
            await kit.deployments.delete(actor, made.id)

    async def test_another_teams_is_not_found(self, kit: Kit) -> None:
        actor, other = await kit.actor(), await kit.actor("globex")
        await kit.project(actor)
        old = await kit.ready(actor, target="preview")
        with pytest.raises(NotFound):
            await kit.deployments.delete(other, old.id)
