"""The memory bus: the contract, and what is its own."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from scalemesh.errors import InvalidInput, Unavailable
from scalemesh.logs.archive.memory import MemoryArchive
from scalemesh.logs.bus.base import Bus
from scalemesh.logs.bus.memory import MemoryBus
from scalemesh.testing.bus_contract import BusContract, pumping
from scalemesh.testing.log_lines import DEPLOYMENT, lines, numbers


class TestMemoryBus(BusContract):
    @pytest.fixture
    async def bus(self) -> AsyncIterator[Bus]:
        async with MemoryBus() as bus:
            yield bus


async def test_publish_returns_after_the_commit() -> None:
    async with MemoryBus() as bus:
        publishing = asyncio.create_task(bus.publish(lines(0)))
        taken = await bus.take(10)
        assert not publishing.done()
        await bus.commit(taken)
        await asyncio.wait_for(publishing, 5)


async def test_publish_gives_up_when_nothing_archives() -> None:
    async with MemoryBus(timeout_s=0.01) as bus:
        with pytest.raises(Unavailable):
            await bus.publish(lines(0))


async def test_lines_set_aside_are_refused_to_their_publisher() -> None:
    async with MemoryBus() as bus:
        publishing = asyncio.create_task(bus.publish(lines(0)))
        (taken,) = await bus.take(10)
        await bus.set_aside(taken, "no such thing")
        with pytest.raises(InvalidInput, match="no such thing"):
            await publishing


async def test_closing_answers_a_publisher_whose_lines_a_pump_has_taken() -> None:
    async with MemoryBus() as bus:
        publishing = asyncio.create_task(bus.publish(lines(0)))
        await bus.take(10)
    with pytest.raises(Unavailable):
        await publishing


async def test_publishers_wait_while_too_many_lines_do() -> None:
    async with MemoryBus(max_waiting=2) as bus:
        first = asyncio.create_task(bus.publish(lines(0, 1)))
        second = asyncio.create_task(bus.publish(lines(2)))
        taken = await bus.take(10)
        assert numbers(taken[0].lines) == [0, 1]
        assert len(taken) == 1
        await bus.commit(taken)
        await bus.commit(await bus.take(10))
        await asyncio.wait_for(asyncio.gather(first, second), 5)


async def test_what_waits_is_taken_together() -> None:
    async with MemoryBus() as bus, asyncio.TaskGroup() as tasks:
        for seq in range(3):
            tasks.create_task(bus.publish(lines(seq)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        taken = await bus.take(10)
        assert [numbers(delivery.lines) for delivery in taken] == [[0], [1], [2]]
        await bus.commit(taken)


async def test_a_subscriber_that_falls_behind_is_sent_to_the_archive() -> None:
    archive = MemoryArchive()
    async with MemoryBus(max_queued=3) as bus, pumping(bus, archive), bus.subscribe(DEPLOYMENT) as live:
        await bus.publish(lines(0, 1))
        await bus.publish(lines(2, 3))
        assert await live.get(5) == []
        await bus.publish(lines(4))
        assert await live.get(5) == lines(4)


async def test_nothing_is_left_of_subscribers_that_left() -> None:
    async with MemoryBus() as bus:
        async with bus.subscribe(DEPLOYMENT), bus.subscribe(DEPLOYMENT):
            pass
        assert DEPLOYMENT not in bus._fanout.deployments
