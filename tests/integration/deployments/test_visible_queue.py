"""What people and monitoring see of the queue."""

from scalemesh.deployments import counts
from scalemesh.testing.factories import Kit


async def test_position_while_it_waits(kit: Kit) -> None:
    actor = await kit.actor()
    await kit.project(actor)
    made = [await kit.queued(actor) for _ in range(3)]
    shown = [await kit.deployments.get(actor, each.id) for each in made]
    assert [each.queue.position for each in shown if each.queue] == [1, 2, 3]
    assert [each.queue.expected_wait_s for each in shown if each.queue] == [None] * 3
    await kit.claim()
    first, second, _ = [await kit.deployments.get(actor, each.id) for each in made]
    assert first.queue is None
    assert second.queue
    assert second.queue.position == 1


async def test_expected_wait_follows_from_what_builds_took(kit: Kit) -> None:
    actor = await kit.actor()
    await kit.project(actor)
    await kit.queued(actor)
    agent = await kit.launched()
    kit.clock.advance(seconds=40)
    await agent.publish({"/index.html": b"x"})
    kit.sources.refs["main"] = kit.sources.refs[None] = "b" * 40
    await kit.queued(actor)
    waiting = await kit.queued(actor)
    assert waiting.queue
    assert (waiting.queue.position, waiting.queue.expected_wait_s) == (2, 80)


async def test_metrics(kit: Kit) -> None:
    actor = await kit.actor()
    await kit.project(actor)
    await kit.queued(actor)
    await kit.queued(actor, target="preview")
    claimed = await kit.claim()
    assert claimed
    await kit.deployments.queue.requeue(claimed.attempt, "Gone.", code="lease_lost")
    kit.clock.advance(seconds=10)
    await kit.claim()
    found = await counts.queue(kit.db, kit.clock())
    assert found["scalemesh_queue_depth"] == {'target="preview"': 1}
    assert found["scalemesh_queue_oldest_seconds"] == {"": 10}
    assert [found[f"scalemesh_{name}"][""] for name in ("claims", "retries", "reaped")] == [2, 1, 1]
