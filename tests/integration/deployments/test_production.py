"""What is in production: READY, promote, rollback, pinning."""

import pytest

from scalemesh.errors import Conflict
from scalemesh.testing.factories import Kit


async def live(kit: Kit) -> str | None:
    """The deployment that edges serve at the production host."""
    routes = (await kit.deployments.routes.changes(0)).routes
    return next((route.deployment for route in routes if route.host == "blog.localhost"), None)


async def test_ready_moves_production(kit: Kit) -> None:
    actor = await kit.actor()
    await kit.project(actor)
    made = await kit.ready(actor)
    assert await live(kit) == made.id
    assert (await kit.projects.get(actor, "blog")).production_deployment == made.id


async def test_preview_does_not(kit: Kit) -> None:
    actor = await kit.actor()
    await kit.project(actor)
    made = await kit.ready(actor, target="preview")
    assert await live(kit) is None
    (route,) = (await kit.deployments.routes.changes(0)).routes
    assert (route.deployment, route.production, f"http://{route.host}:8080") == (made.id, False, made.url)


async def test_earlier_one_that_ends_later_does_not(kit: Kit) -> None:
    actor = await kit.actor()
    await kit.project(actor)
    early = await kit.queued(actor)
    kit.clock.advance(seconds=1)
    late = await kit.queued(actor)
    slow, fast = await kit.launched(), await kit.launched()
    await fast.publish({"/index.html": b"late"})
    await slow.publish({"/index.html": b"early"})
    assert (slow.build.deployment, await live(kit)) == (early.id, late.id)


async def test_promote_of_a_preview(kit: Kit) -> None:
    actor = await kit.actor()
    await kit.project(actor)
    await kit.ready(actor)
    preview = await kit.ready(actor, target="preview")
    promoted = await kit.deployments.promote(actor, preview.id)
    assert await live(kit) == preview.id
    assert promoted.aliases == ["http://blog.localhost:8080"]


async def test_promote_needs_a_ready_one(kit: Kit) -> None:
    actor = await kit.actor()
    await kit.project(actor)
    queued = await kit.queued(actor)
    with pytest.raises(Conflict, match="queued"):
        await kit.deployments.promote(actor, queued.id)


async def test_promote_of_what_is_live_changes_nothing(kit: Kit) -> None:
    actor = await kit.actor()
    await kit.project(actor)
    made = await kit.ready(actor)
    version = await kit.deployments.routes.version()
    await kit.deployments.promote(actor, made.id)
    assert await kit.deployments.routes.version() == version


async def test_rollback_goes_back_step_by_step(kit: Kit) -> None:
    actor = await kit.actor()
    await kit.project(actor)
    one, two, _ = [await kit.ready(actor) for _ in range(3)]
    assert (await kit.deployments.rollback(actor, "blog")).id == two.id
    assert (await kit.deployments.rollback(actor, "blog")).id == one.id
    assert await live(kit) == one.id
    with pytest.raises(Conflict, match="no earlier"):
        await kit.deployments.rollback(actor, "blog")


async def test_rollback_pins_until_the_next_promote(kit: Kit) -> None:
    actor = await kit.actor()
    await kit.project(actor)
    one, _ = [await kit.ready(actor) for _ in range(2)]
    await kit.deployments.rollback(actor, "blog")
    third = await kit.ready(actor)
    assert (await live(kit), (await kit.projects.get(actor, "blog")).pinned) == (one.id, True)
    await kit.deployments.promote(actor, third.id)
    fourth = await kit.ready(actor)
    assert (await live(kit), (await kit.projects.get(actor, "blog")).pinned) == (fourth.id, False)


async def test_rollback_after_rollback_and_promote(kit: Kit) -> None:
    """one, two; back to one; promote three: what was production before three is one."""
    actor = await kit.actor()
    await kit.project(actor)
    one, _ = [await kit.ready(actor) for _ in range(2)]
    await kit.deployments.rollback(actor, "blog")
    await kit.deployments.promote(actor, (await kit.ready(actor)).id)
    assert (await kit.deployments.rollback(actor, "blog")).id == one.id


async def test_nothing_to_roll_back_to(kit: Kit) -> None:
    actor = await kit.actor()
    await kit.project(actor)
    await kit.ready(actor)
    assert not await kit.deployments.can_roll_back(actor, "blog")
    with pytest.raises(Conflict, match="no earlier"):
        await kit.deployments.rollback(actor, "blog")
    await kit.ready(actor)
    assert await kit.deployments.can_roll_back(actor, "blog")


async def test_aliases_follow_production(kit: Kit) -> None:
    actor = await kit.actor()
    await kit.project(actor)
    (before,) = await kit.deployments.aliases(actor, "blog")
    made = await kit.ready(actor)
    (after,) = await kit.deployments.aliases(actor, "blog")
    assert (before.deployment, after.deployment, after.url) == (None, made.id, "http://blog.localhost:8080")
