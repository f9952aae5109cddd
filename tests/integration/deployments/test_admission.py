"""Limits: said before anything is made, with when to come back."""

from collections.abc import AsyncIterator

import pytest

from scalemesh.deployments import BuildPolicy
from scalemesh.errors import TooManyRequests, Unavailable
from scalemesh.testing.factories import Kit, open_kit


class Disk:
    is_full = False


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
async def limited(database_url: str, disk: Disk) -> AsyncIterator[Kit]:
    policy = BuildPolicy(queue_limit=2, hourly_limit=3, has_room=lambda: not disk.is_full)
    async with open_kit(database_url, policy) as opened:
        yield opened


async def test_queue_is_full_for_one_team(limited: Kit) -> None:
    actor, other = await limited.actor(), await limited.actor("globex")
    for each in (actor, other):
        await limited.project(each)
    for _ in range(2):
        await limited.queued(actor)
    with pytest.raises(TooManyRequests) as refused:
        await limited.queued(actor)
    assert (refused.value.code, refused.value.retry_after_s) == ("queue_full", 30)
    await limited.queued(other)
    await limited.claim()
    await limited.claim()
    await limited.queued(actor)


async def test_refused_leaves_nothing(limited: Kit) -> None:
    actor = await limited.actor()
    await limited.project(actor)
    for _ in range(2):
        await limited.queued(actor)
    with pytest.raises(TooManyRequests):
        await limited.queued(actor)
    assert len((await limited.deployments.list(actor, "blog")).items) == 2


async def test_so_many_an_hour(limited: Kit) -> None:
    actor = await limited.actor()
    await limited.project(actor)
    for _ in range(3):
        await limited.ready(actor)  # two seconds each
    with pytest.raises(TooManyRequests) as refused:
        await limited.queued(actor)
    assert refused.value.code == "hourly_limit"
    limited.clock.advance(seconds=refused.value.retry_after_s)
    await limited.queued(actor)
    with pytest.raises(TooManyRequests):
        await limited.queued(actor)


async def test_full_disk_takes_and_starts_nothing_and_serves(limited: Kit, disk: Disk) -> None:
    actor = await limited.actor()
    await limited.project(actor)
    served = await limited.ready(actor)
    await limited.queued(actor)
    disk.is_full = True
    with pytest.raises(Unavailable) as refused:
        await limited.queued(actor)
    assert refused.value.code == "disk_full"
    assert await limited.claim() is None
    assert (await limited.deployments.get(actor, served.id)).state == "ready"
    disk.is_full = False
    assert await limited.claim()
