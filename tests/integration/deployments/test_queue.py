"""The queue: who gets what, and how an attempt ends."""

import asyncio
from collections import Counter

import pytest

from scalemesh.deployments.ending import SHUTDOWN
from scalemesh.deployments.queue import ClaimLimits
from scalemesh.deployments.state import locked
from scalemesh.projects import ProjectChanges
from scalemesh.testing.factories import DISPATCHER, Kit


class TestClaim:
    async def test_empty_queue(self, kit: Kit) -> None:
        assert await kit.claim() is None

    async def test_oldest_first(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        made = [(await kit.queued(actor)).id for _ in range(3)]
        assert [(await kit.claim()).deployment for _ in made] == sorted(made)  # type: ignore[union-attr]

    async def test_production_first(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        preview = await kit.queued(actor, target="preview")
        production = await kit.queued(actor)
        assert [(await kit.claim()).deployment for _ in range(2)] == [production.id, preview.id]  # type: ignore[union-attr]

    async def test_team_with_fewest_builds_first(self, kit: Kit) -> None:
        busy, quiet = await kit.actor("busy"), await kit.actor("quiet")
        await kit.project(busy, "one")
        await kit.project(quiet, "two")
        for _ in range(3):
            await kit.queued(busy, "one")
        late = await kit.queued(quiet, "two")
        teams = [(await kit.claim()).team for _ in range(3)]  # type: ignore[union-attr]
        assert teams == [busy.team_id, quiet.team_id, busy.team_id]
        assert (await kit.deployments.get(quiet, late.id)).state == "initializing"

    async def test_limits(self, kit: Kit) -> None:
        one, two = await kit.actor("one"), await kit.actor("two")
        for actor in (one, two):
            await kit.project(actor)
            await kit.queued(actor)
            await kit.queued(actor)
        claimed = [await kit.claim(team_limit=1, limit=3) for _ in range(4)]
        assert [c.team if c else None for c in claimed] == [one.team_id, two.team_id, None, None]
        assert [bool(await kit.claim(limit=3)) for _ in range(2)] == [True, False]

    async def test_many_at_once_get_different_ones(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        made = {(await kit.queued(actor)).id for _ in range(12)}
        claimed = await asyncio.gather(*(kit.claim(f"dispatcher-{n}") for n in range(16)))
        taken = [c.deployment for c in claimed if c]
        assert (len(taken), set(taken)) == (12, made)

    async def test_team_limit_holds_at_once(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        for _ in range(6):
            await kit.queued(actor)
        claimed = await asyncio.gather(*(kit.claim(f"dispatcher-{n}", team_limit=2) for n in range(6)))
        assert len([c for c in claimed if c]) == 2

    async def test_batches_at_once_are_in_order_and_within_the_limits(self, kit: Kit) -> None:
        for name in ("one", "two", "three"):
            actor = await kit.actor(name)
            await kit.project(actor)
            for _ in range(5):
                await kit.queued(actor)
        limits = ClaimLimits(dispatcher=4, team=3)
        batches = await asyncio.gather(*(kit.deployments.queue.claim(f"d{n}", "memory", limits, 32) for n in range(3)))
        assert sorted(map(len, batches)) == [1, 4, 4]
        taken = [claimed for batch in batches for claimed in batch]
        assert len({claimed.deployment for claimed in taken}) == 9
        assert set(Counter(claimed.team for claimed in taken).values()) == {3}

    async def test_row_that_somebody_holds_is_passed(self, kit: Kit) -> None:
        if kit.db.is_sqlite:
            return  # writes one at a time: nobody holds a row meanwhile
        actor = await kit.actor()
        await kit.project(actor)
        held, free = [(await kit.queued(actor)).id for _ in range(2)]
        async with kit.db.write() as session:
            await locked(session, held)
            async with asyncio.timeout(10):
                assert [c.deployment if (c := await kit.claim()) else None for _ in range(2)] == [free, None]

    async def test_project_limit_holds_unless_the_project_sets_its_own(self, kit: Kit) -> None:
        actor = await kit.actor()
        for name in ("plain", "wide", "free"):
            await kit.project(actor, name)
            for _ in range(4):
                await kit.queued(actor, name)
        await kit.projects.update(actor, "wide", ProjectChanges(concurrency=2))
        await kit.projects.update(actor, "free", ProjectChanges(concurrency=0))
        limits = ClaimLimits(project=1)
        taken = await kit.deployments.queue.claim(DISPATCHER, "memory", limits, 32)
        names = [(await kit.deployments.get(actor, claimed.deployment)).project for claimed in taken]
        assert Counter(names) == {"plain": 1, "wide": 2, "free": 4}
        assert await kit.deployments.queue.claim(DISPATCHER, "memory", limits, 32) == []


class TestEnds:
    async def test_lost_lease_is_due_and_tried_again_after_a_pause(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        agent = await kit.launched(None) if await kit.queued(actor) else None
        assert agent
        assert await kit.deployments.queue.due(DISPATCHER) == []
        kit.clock.advance(seconds=31)
        (due,) = await kit.deployments.queue.due("another-dispatcher")
        assert (due.reason, due.live.attempt) == ("lease", agent.build.attempt)
        assert await kit.deployments.queue.requeue(due.live.attempt, "Gone.") == "queued"
        assert await kit.claim() is None
        kit.clock.advance(seconds=2)
        again = await kit.claim()
        assert again
        assert (again.deployment, again.number) == (agent.build.deployment, 2)

    async def test_platform_gives_up_after_three(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        made = await kit.queued(actor)
        for _ in range(3):
            kit.clock.advance(seconds=60)
            claimed = await kit.claim()
            assert claimed
            await kit.deployments.queue.requeue(claimed.attempt, "Gone.", code="lease_lost")
        ended = await kit.deployments.get(actor, made.id)
        assert (ended.state, ended.attempt, ended.error and ended.error.code) == ("error", 3, "lease_lost")

    async def test_shutdown_is_not_counted_and_waits_for_nobody(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        await kit.queued(actor)
        for number in range(1, 6):
            claimed = await kit.claim()
            assert claimed
            assert claimed.number == number
            await kit.deployments.queue.requeue(claimed.attempt, "Stopped.", code=SHUTDOWN)

    @pytest.mark.parametrize(("target", "trust"), [("production", "production"), ("preview", "branch")])
    async def test_caches_are_kept_of_what_is_ready(self, kit: Kit, target: str, trust: str) -> None:
        actor = await kit.actor()
        project = await kit.project(actor)
        await kit.ready(actor, target=target)
        await kit.queued(actor, target=target)
        await (await kit.launched()).fail()
        kept = [due.keep for due in await kit.deployments.queue.due(DISPATCHER)]
        assert [keep and (keep.project, keep.trust) for keep in kept] == [(project.id, trust), None]

    async def test_deadline(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        await kit.queued(actor)
        agent = await kit.launched()
        kit.clock.advance(seconds=46 * 60)
        (due,) = await kit.deployments.queue.due(DISPATCHER)
        assert due.reason == "deadline"
        assert await kit.deployments.queue.fail(agent.build.attempt, "timeout", "Too long.") == "error"

    async def test_ending_twice_is_once(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        made = await kit.queued(actor)
        agent = await kit.launched()
        await kit.deployments.queue.fail(agent.build.attempt, "timeout", "Too long.")
        assert await kit.deployments.queue.requeue(agent.build.attempt, "Gone.") is None
        assert await kit.deployments.queue.canceled(agent.build.attempt) is None
        assert (await kit.deployments.get(actor, made.id)).error.code == "timeout"  # type: ignore[union-attr]

    async def test_ended_is_due_until_it_is_cleaned(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        await kit.queued(actor)
        agent = await kit.launched()
        await kit.deployments.queue.set_handle(agent.build.attempt, {"pid": 7})
        await kit.deployments.queue.cleaned(agent.build.attempt)
        await agent.fail()
        (due,) = await kit.deployments.queue.due(DISPATCHER)
        assert (due.reason, due.live.handle) == ("clean", {"pid": 7})
        await kit.deployments.queue.cleaned(agent.build.attempt)
        assert await kit.deployments.queue.due(DISPATCHER) == []
        assert await kit.deployments.queue.live(DISPATCHER) == []

    async def test_renewed_leases_outlive_the_dispatcher(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        await kit.queued(actor)
        await kit.launched()
        kit.clock.advance(seconds=300)
        await kit.deployments.queue.renew(DISPATCHER)
        assert await kit.deployments.queue.due(DISPATCHER) == []


class TestCancel:
    async def test_queued_ends_at_once(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        made = await kit.queued(actor)
        ended = await kit.deployments.cancel(actor, made.id)
        assert (ended.state, ended.error and ended.error.code) == ("canceled", "canceled")
        assert await kit.claim() is None

    async def test_running_ends_when_it_has_been_stopped(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        made = await kit.queued(actor)
        agent = await kit.launched()
        asked = await kit.deployments.cancel(actor, made.id)
        assert (asked.state, asked.cancel_requested) == ("building", True)
        assert (await kit.deployments.builds.heartbeat(agent.build)).cancel
        (due,) = await kit.deployments.queue.due(DISPATCHER)
        assert due.reason == "cancel"
        assert await kit.deployments.queue.canceled(agent.build.attempt) == "canceled"

    async def test_lost_lease_of_a_canceled_one_is_not_tried_again(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        made = await kit.queued(actor)
        agent = await kit.launched()
        await kit.deployments.cancel(actor, made.id)
        assert await kit.deployments.queue.requeue(agent.build.attempt, "Gone.") == "canceled"

    async def test_twice_is_once(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        made = await kit.queued(actor)
        await kit.deployments.cancel(actor, made.id)
        assert (await kit.deployments.cancel(actor, made.id)).state == "canceled"
