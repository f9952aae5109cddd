"""What people and monitoring see of the queue."""

from pathlib import Path

from scalemesh.core.build import Batch, StepFinished, StepStarted
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


async def test_metrics_of_what_waits(kit: Kit) -> None:
    actor = await kit.actor()
    await kit.project(actor)
    await kit.queued(actor)
    await kit.queued(actor, target="preview")
    await kit.claim()
    kit.clock.advance(seconds=10)
    found = await counts.queue(kit.db, kit.clock())
    assert found["scalemesh_queue_depth"] == {'target="preview"': 1}
    assert found["scalemesh_queue_oldest_seconds"] == {"": 10}


async def test_totals_outlive_what_they_count(kit: Kit) -> None:
    actor = await kit.actor()
    await kit.project(actor)
    made = await kit.queued(actor)
    kit.clock.advance(seconds=7)
    lost = await kit.claim()
    assert lost
    await kit.deployments.queue.requeue(lost.attempt, "Gone.", code="lease_lost")
    kit.clock.advance(seconds=30)
    again = await kit.claim()
    assert again
    await kit.deployments.queue.fail(again.attempt, "no_use", "No use.")
    await kit.deployments.queue.cleaned(lost.attempt)
    await kit.deployments.queue.cleaned(again.attempt)
    before = await counts.queue(kit.db, kit.clock())
    await kit.deployments.delete(actor, made.id)
    assert await counts.queue(kit.db, kit.clock()) == before
    assert [before[f"scalemesh_{name}_total"][""] for name in ("claims", "retries", "reaped")] == [2, 1, 1]
    assert before["scalemesh_queue_wait_seconds_sum"] == {"": 7}
    assert before["scalemesh_queue_wait_seconds_count"] == {"": 1}


async def test_run_time_by_step(kit: Kit) -> None:
    actor = await kit.actor()
    await kit.project(actor)
    await kit.queued(actor)
    agent = await kit.launched()
    begun = StepStarted(n=0, step="build", at=kit.clock())
    ended = StepFinished(n=1, step="build", at=kit.clock() + 2500, exit_code=0)
    await kit.deployments.builds.ingest(agent.build, Batch(events=[begun, ended]))
    await agent.publish({"/index.html": b"x"})
    found = await counts.queue(kit.db, kit.clock())
    assert found["scalemesh_step_seconds_sum"] == {'step="build"': 2.5}
    assert found["scalemesh_step_seconds_count"] == {'step="build"': 1}


async def test_every_number_is_documented(kit: Kit) -> None:
    documented = (Path(__file__).parents[3] / "docs" / "production.md").read_text()
    names = {name.removesuffix("_sum").removesuffix("_count") for name in await counts.queue(kit.db, kit.clock())}
    assert {name for name in names if f"`{name}`" not in documented} == set()
