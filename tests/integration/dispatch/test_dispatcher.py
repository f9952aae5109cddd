"""The dispatcher over a real queue; build servers are coroutines that act through the services."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from scalemesh.accounts import Actor
from scalemesh.core.build import Limits
from scalemesh.db.tables import Attempt, Deployment
from scalemesh.deployments import Claimed
from scalemesh.dispatch.backends.base import Handle, Launch
from scalemesh.dispatch.backends.memory import MemoryBackend
from scalemesh.dispatch.dispatcher import Dispatcher, DispatchSettings
from scalemesh.errors import InfrastructureFault, ScaleMeshError
from scalemesh.testing.factories import Agent, Kit
from tests.integration.builds import eventually

Work = Callable[[Launch], Awaitable[None]]


class Backend(MemoryBackend):
    """Can refuse to launch, or take its time."""

    fault: ScaleMeshError | None = None

    async def launch(self, launch: Launch) -> Handle:
        if self.fault:
            fault, self.fault = self.fault, None
            raise fault
        return await super().launch(launch)


async def hangs(_: Launch) -> None:
    await asyncio.Event().wait()


async def dies(_: Launch) -> None:
    raise RuntimeError("killed")


@pytest.fixture
async def actor(kit: Kit) -> Actor:
    made = await kit.actor()
    await kit.project(made)
    return made


def dispatcher(kit: Kit, backend: MemoryBackend, concurrency: int = 4) -> Dispatcher:
    return Dispatcher(kit.deployments.queue, backend, kit.wakeup, DispatchSettings("test", concurrency))


@asynccontextmanager
async def running(kit: Kit, backend: MemoryBackend, concurrency: int = 4) -> AsyncIterator[Dispatcher]:
    one = dispatcher(kit, backend, concurrency)
    task = asyncio.create_task(one.run())
    try:
        yield one
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def builds(kit: Kit) -> Work:
    """A build server that claims and publishes."""

    async def work(launch: Launch) -> None:
        agent = await started(kit, launch)
        await agent.publish({"/index.html": launch.attempt.encode()})

    return work


async def started(kit: Kit, launch: Launch) -> Agent:
    claimed = Claimed(
        launch.attempt, launch.number, launch.deployment, "", "", "production", launch.token, launch.limits
    )
    return await kit.launched(claimed)


async def state(kit: Kit, deployment: str) -> tuple[str, int, str | None]:
    async with kit.db.read() as session:
        row = await session.get(Deployment, deployment)
        assert row is not None
        return row.state, row.attempt, row.error_code


async def becomes(kit: Kit, deployment: str, wanted: tuple[str, int, str | None]) -> None:
    async def look() -> bool:
        return await state(kit, deployment) == wanted

    await eventually(look)


async def is_cleaned(kit: Kit, attempt: str) -> bool:
    async with kit.db.read() as session:
        row = await session.get(Attempt, attempt)
        return row is not None and row.cleaned_at is not None


async def test_queued_is_launched_built_and_cleaned(kit: Kit, actor: Actor) -> None:
    backend = Backend(builds(kit))
    made = await kit.queued(actor)
    async with running(kit, backend):
        await becomes(kit, made.id, ("ready", 1, None))
        await eventually(lambda: not backend._tasks)


async def test_new_deployment_wakes_it(kit: Kit, actor: Actor) -> None:
    backend = Backend(hangs)
    async with running(kit, backend):
        await kit.queued(actor)
        await eventually(lambda: backend._tasks, within_s=0.8)


async def test_handle_is_stored(kit: Kit, actor: Actor) -> None:
    backend = Backend(hangs)
    await kit.queued(actor)
    async with running(kit, backend):

        async def stored() -> bool:
            return any(live.handle for live in await kit.deployments.queue.live("test"))

        await eventually(stored)


async def test_no_more_at_once_than_allowed(kit: Kit, actor: Actor) -> None:
    most = 0
    at_once = 0

    async def work(launch: Launch) -> None:
        nonlocal most, at_once
        at_once += 1
        most = max(most, at_once)
        agent = await started(kit, launch)
        await asyncio.sleep(0)
        at_once -= 1
        await agent.publish({"/index.html": launch.attempt.encode()})

    made = [await kit.queued(actor) for _ in range(6)]
    async with running(kit, Backend(work), concurrency=2):
        for one in made:
            await becomes(kit, one.id, ("ready", 1, None))
    assert most == 2


async def test_failed_launch_is_tried_again(kit: Kit, actor: Actor) -> None:
    backend = Backend(builds(kit))
    backend.fault = InfrastructureFault("no uid is free", code="no_uid")
    made = await kit.queued(actor)
    async with running(kit, backend):
        await becomes(kit, made.id, ("queued", 1, None))
        kit.clock.advance(seconds=60)
        await becomes(kit, made.id, ("ready", 2, None))


async def test_dead_agent_is_noticed_long_before_its_lease(kit: Kit, actor: Actor) -> None:
    made = await kit.queued(actor)
    async with running(kit, Backend(dies)):
        await becomes(kit, made.id, ("queued", 1, None))


async def test_enough_attempts_end_in_an_error(kit: Kit, actor: Actor) -> None:
    made = await kit.queued(actor)
    async with running(kit, Backend(dies)):
        for attempt in (1, 2):
            await becomes(kit, made.id, ("queued", attempt, None))
            kit.clock.advance(seconds=60)
        await becomes(kit, made.id, ("error", 3, "build_server_died"))


async def test_cancel_stops_before_it_reports(kit: Kit, actor: Actor) -> None:
    backend = Backend(hangs)
    made = await kit.queued(actor)
    async with running(kit, backend):
        await eventually(lambda: backend._tasks)
        attempt = next(iter(backend._tasks))
        await kit.deployments.cancel(actor, made.id)
        await becomes(kit, made.id, ("canceled", 1, "canceled"))
        assert backend._tasks == {}
        await eventually(lambda: is_cleaned(kit, attempt))


async def test_lost_lease(kit: Kit, actor: Actor) -> None:
    backend = Backend(hangs)
    made = await kit.queued(actor)
    async with running(kit, backend):
        await eventually(lambda: backend._tasks)
        kit.clock.advance(seconds=200)
        await becomes(kit, made.id, ("queued", 1, None))


async def test_deadline(kit: Kit, actor: Actor) -> None:
    agents: list[Agent] = []

    async def work(launch: Launch) -> None:
        agents.append(await started(kit, launch))
        await hangs(launch)

    made = await kit.queued(actor)
    async with running(kit, Backend(work)):
        await eventually(lambda: agents)
        kit.clock.advance(seconds=50 * 60)
        await becomes(kit, made.id, ("error", 1, "timeout"))


async def test_next_process_takes_over_what_runs(kit: Kit, actor: Actor) -> None:
    go_on = asyncio.Event()

    async def work(launch: Launch) -> None:
        agent = await started(kit, launch)
        await go_on.wait()
        await agent.publish({"/index.html": b"survived"})

    backend = Backend(work)
    made = await kit.queued(actor)
    async with running(kit, backend):
        await becomes(kit, made.id, ("building", 1, None))
    async with running(kit, backend):
        go_on.set()
        await becomes(kit, made.id, ("ready", 1, None))


async def test_lease_that_ran_out_while_nobody_could_prolong_it_is_given_again(kit: Kit, actor: Actor) -> None:
    backend = Backend(hangs)
    made = await kit.queued(actor)
    async with running(kit, backend):
        await eventually(lambda: backend._tasks)
        await becomes(kit, made.id, ("initializing", 1, None))
    kit.clock.advance(seconds=500)
    one = dispatcher(kit, backend)
    await kit.deployments.queue.renew("test")
    await one._reconciler.step()
    assert await state(kit, made.id) == ("initializing", 1, None)


async def test_launch_that_was_never_written_down_is_tried_again(kit: Kit, actor: Actor) -> None:
    made = await kit.queued(actor)
    assert await kit.claim("test")
    async with running(kit, Backend(hangs)):
        await becomes(kit, made.id, ("queued", 1, None))


async def test_orphans_are_swept(kit: Kit, actor: Actor) -> None:
    backend = Backend(hangs)
    await backend.launch(Launch("att_orphan", "dpl_gone", 1, "token", Limits()))
    async with running(kit, backend):
        await eventually(lambda: "att_orphan" not in backend._tasks)


async def test_drain_puts_builds_back_and_leaves_nothing(kit: Kit, actor: Actor) -> None:
    backend = Backend(hangs)
    made = [await kit.queued(actor) for _ in range(3)]
    async with running(kit, backend) as one:
        await eventually(lambda: len(backend._tasks) == 3)
    await one.drain()
    assert [await state(kit, m.id) for m in made] == [("queued", 1, None)] * 3
    assert backend._tasks == {}
    assert await kit.deployments.queue.live("test") == []


async def test_after_a_drain_builds_start_at_once(kit: Kit, actor: Actor) -> None:
    backend = Backend(hangs)
    made = await kit.queued(actor)
    async with running(kit, backend) as one:
        await eventually(lambda: backend._tasks)
    await one.drain()
    async with running(kit, Backend(builds(kit))):
        await becomes(kit, made.id, ("ready", 2, None))


async def test_database_that_fails_a_round_does_not_end_it(kit: Kit, actor: Actor) -> None:
    backend = Backend(builds(kit))
    one = dispatcher(kit, backend)
    real, failed = kit.deployments.queue.claim, asyncio.Event()

    async def claim(*args: object) -> Sequence[Claimed]:
        if not failed.is_set():
            failed.set()
            raise OSError("disk I/O error")
        return await real(*args)  # type: ignore[arg-type]

    kit.deployments.queue.claim = claim  # type: ignore[method-assign,assignment]
    made = await kit.queued(actor)
    task = asyncio.create_task(one.run())
    await becomes(kit, made.id, ("ready", 1, None))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
