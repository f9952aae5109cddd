"""Caches of builds that share no disk: who finds what, and when it goes."""

from collections.abc import AsyncIterator

import pytest

from scalemesh.core.build import CacheArchive, CacheIndex
from scalemesh.deployments import BuildPolicy
from scalemesh.deployments.caches import MAX_AGE_MS
from scalemesh.errors import Conflict, InvalidInput, NotFound
from scalemesh.testing.factories import Agent, Kit, frames, open_kit, ref

PATH = "workspace/node_modules/.cache"


@pytest.fixture
async def kit(database_url: str) -> AsyncIterator[Kit]:
    async with open_kit(database_url, BuildPolicy(cache_bytes=100)) as kit:
        await kit.project(await kit.actor())
        yield kit


async def build(kit: Kit, target: str = "production", project: str = "blog") -> Agent:
    actor = await kit.actor()
    await kit.queued(actor, project, target)
    kit.clock.advance(seconds=2)
    return await kit.launched()


async def leave(agent: Agent, **entries: bytes) -> None:
    builds = agent.kit.deployments.builds
    await builds.put_blobs(agent.build, frames(entries.values()))
    await builds.leave(agent.build, CacheIndex(entries={name: [archive(data)] for name, data in entries.items()}))


async def built(kit: Kit, target: str = "production", project: str = "blog", **entries: bytes) -> None:
    """One that became ready, and left these."""
    agent = await build(kit, target, project)
    await leave(agent, **entries)
    await agent.publish({"/index.html": b"page"})


def archive(data: bytes) -> CacheArchive:
    return CacheArchive(path=PATH, sha256=ref(data).sha256, size=len(data))


async def found(agent: Agent) -> dict[str, bytes]:
    builds = agent.kit.deployments.builds
    index = await builds.caches(agent.build)
    assert all(one.path == PATH for archives in index.entries.values() for one in archives)
    return {
        name: b"".join([chunk async for chunk in await builds.archive(agent.build, one.sha256)])
        for name, (one,) in index.entries.items()
    }


async def test_the_next_build_finds_it(kit: Kit) -> None:
    first = await build(kit)
    assert await found(first) == {}
    await leave(first, framework=b"one")
    assert await found(first) == {}
    await first.publish({"/index.html": b"page"})
    assert await found(await build(kit)) == {"framework": b"one"}


async def test_a_build_that_fails_changes_nothing(kit: Kit) -> None:
    await built(kit, framework=b"good")
    failed = await build(kit)
    await leave(failed, framework=b"bad")
    await failed.fail()
    assert await found(await build(kit)) == {"framework": b"good"}


async def test_a_branch_reads_production_and_production_no_branch(kit: Kit) -> None:
    await built(kit, framework=b"main", downloads=b"npm")
    await built(kit, "preview", framework=b"branch")
    assert await found(await build(kit, "preview")) == {"framework": b"branch", "downloads": b"npm"}
    assert await found(await build(kit)) == {"framework": b"main", "downloads": b"npm"}


async def test_another_project_finds_nothing_and_reads_nothing(kit: Kit) -> None:
    await kit.project(await kit.actor(), "shop")
    await built(kit, framework=b"blog's")
    other = await build(kit, project="shop")
    assert await found(other) == {}
    with pytest.raises(NotFound):
        await kit.deployments.builds.archive(other.build, ref(b"blog's").sha256)


async def test_no_other_blob_of_the_team_is_an_archive(kit: Kit) -> None:
    await built(kit, framework=b"one")
    with pytest.raises(NotFound):
        await kit.deployments.builds.archive((await build(kit)).build, ref(b"page").sha256)


async def test_what_has_not_been_sent_cannot_be_left(kit: Kit) -> None:
    agent = await build(kit)
    with pytest.raises(InvalidInput):
        await kit.deployments.builds.leave(agent.build, CacheIndex(entries={"framework": [archive(b"never sent")]}))


@pytest.mark.parametrize("name", ["", "../x", "A", "x" * 81])
async def test_an_entry_has_a_plain_name(kit: Kit, name: str) -> None:
    with pytest.raises(InvalidInput):
        await kit.deployments.builds.leave((await build(kit)).build, CacheIndex(entries={name: []}))


async def test_nothing_is_left_once_the_attempt_is_over(kit: Kit) -> None:
    agent = await build(kit)
    await agent.publish({"/index.html": b"page"})
    with pytest.raises(Conflict):
        await leave(agent, framework=b"late")


async def test_the_newest_that_fit_stay(kit: Kit) -> None:
    await built(kit, old=b"o" * 60)
    await built(kit, new=b"n" * 60)
    assert (await found(await build(kit))).keys() == {"new"}


async def test_what_was_of_use_stays_rather_than_what_was_not(kit: Kit) -> None:
    await built(kit, tree=b"t" * 60, other=b"o" * 30)
    agent = await build(kit)
    await kit.deployments.builds.leave(agent.build, CacheIndex(entries={"tree": []}))
    await agent.publish({"/index.html": b"page"})
    await built(kit, framework=b"f" * 30)
    assert (await found(await build(kit))).keys() == {"tree", "framework"}


async def test_its_bytes_stay_while_it_does_and_go_after(kit: Kit) -> None:
    await built(kit, framework=b"one")
    await built(kit, framework=b"two")
    kit.clock.advance(seconds=MAX_AGE_MS / 1000 - 3600)
    await kit.deployments.collector.collect()
    assert await found(await build(kit)) == {"framework": b"two"}
    assert await stored(kit, b"one", b"two") == {b"two"}
    kit.clock.advance(seconds=2 * 3600)
    await kit.deployments.collector.collect()
    assert await stored(kit, b"two", b"page") == {b"page"}


async def test_they_go_with_their_project(kit: Kit) -> None:
    await built(kit, framework=b"one")
    for live in await kit.deployments.queue.live("test-dispatcher"):
        await kit.deployments.queue.cleaned(live.attempt)
    await kit.deployments.delete_project(await kit.actor(), "blog")
    kit.clock.advance(seconds=2 * 3600)
    await kit.deployments.collector.collect()
    assert await stored(kit, b"one") == set()


async def stored(kit: Kit, *wanted: bytes) -> set[bytes]:
    team = (await kit.actor()).team_id
    listed = {blob.sha256 async for blob in kit.store.list(team)}
    return {data for data in wanted if ref(data).sha256 in listed}
