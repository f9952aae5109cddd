"""What every log bus must do: subclass BusContract and give it a `bus` fixture."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import structlog

from scalemesh.core.logs import LogLine
from scalemesh.errors import InvalidInput, Unavailable
from scalemesh.logs.access.base import Wanted
from scalemesh.logs.archive.memory import MemoryArchive
from scalemesh.logs.bus.base import Bus, Subscription
from scalemesh.logs.pump import Pump
from scalemesh.testing.access_contract import AT, PROJECT, batch, record
from scalemesh.testing.log_lines import DEPLOYMENT, lines, numbers

WAIT_S = 10


class BusContract(ABC):
    @abstractmethod
    @pytest.fixture
    def bus(self) -> AsyncIterator[Bus]:
        """An open, empty bus."""

    @pytest.fixture
    def archive(self) -> MemoryArchive:
        return MemoryArchive()

    async def test_everything_published_reaches_the_archive(self, bus: Bus, archive: MemoryArchive) -> None:
        async with pumping(bus, archive):
            await bus.publish(lines(0, 1))
            await bus.publish(lines(2))
            assert await archived(archive, 3) == [0, 1, 2]

    async def test_the_same_lines_twice_count_once(self, bus: Bus, archive: MemoryArchive) -> None:
        async with pumping(bus, archive):
            await bus.publish(lines(0, 1))
            await bus.publish(lines(0, 1, 2))
            assert await archived(archive, 3) == [0, 1, 2]

    async def test_access_batches_travel_beside_lines_and_count_once(self, bus: Bus, archive: MemoryArchive) -> None:
        async with pumping(bus, archive):
            await bus.publish(lines(0))
            for number in (1, 2, 1):
                await bus.publish_access(batch(number, record(AT + number)))
            await bus.publish(lines(1))
            assert await archived(archive, 2) == [0, 1]
            async with asyncio.timeout(WAIT_S):
                while len(found := await archive.access.records(Wanted(PROJECT))) < 2:  # noqa: ASYNC110  as below
                    await asyncio.sleep(0.005)
            assert [one.place.number for one in found] == [2, 1]

    async def test_an_empty_batch_is_no_trouble(self, bus: Bus, archive: MemoryArchive) -> None:
        async with pumping(bus, archive):
            await bus.publish([])
            await bus.publish(lines(0))
            assert await archived(archive, 1) == [0]

    async def test_what_the_archive_refuses_is_told_its_publisher_or_kept_aside_and_counted(self, bus: Bus) -> None:
        told, archive = 0, RefusingArchive(refused=5)
        with structlog.testing.capture_logs():
            async with pumping(bus, archive):
                for seq in (4, 5, 6):
                    try:
                        await bus.publish(lines(seq))
                    except InvalidInput:
                        told += 1
                assert await archived(archive, 2) == [4, 6]
        kept = await bus.list_set_aside()
        assert [(one.deployment, one.reason) for one in kept] == [(DEPLOYMENT, "cannot be kept")] * (1 - told)
        assert await bus.count_set_aside() == len(kept)

    async def test_many_publishers_at_once(self, bus: Bus, archive: MemoryArchive) -> None:
        deployments = [f"dpl_{number}" for number in range(20)]
        async with pumping(bus, archive):
            await asyncio.gather(*(bus.publish(lines(*range(50), deployment=name)) for name in deployments))
            for name in deployments:
                assert await archived(archive, 50, name) == list(range(50))

    async def test_two_pumps_share_the_work(self, bus: Bus, archive: MemoryArchive) -> None:
        async with pumping(bus, archive), pumping(bus, archive):
            for first in range(0, 100, 10):
                await bus.publish(lines(*range(first, first + 10)))
            assert await archived(archive, 100) == list(range(100))

    async def test_a_subscriber_gets_lines_live_and_in_order(self, bus: Bus, archive: MemoryArchive) -> None:
        async with pumping(bus, archive), bus.subscribe(DEPLOYMENT) as live:
            await bus.publish(lines(0, 1))
            await bus.publish(lines(2))
            assert await received(live, 2) == [0, 1, 2]

    async def test_every_subscriber_gets_every_line(self, bus: Bus, archive: MemoryArchive) -> None:
        async with pumping(bus, archive), bus.subscribe(DEPLOYMENT) as one, bus.subscribe(DEPLOYMENT) as two:
            await bus.publish(lines(0, 1))
            assert [await received(live, 1) for live in (one, two)] == [[0, 1], [0, 1]]

    async def test_a_subscriber_gets_its_own_deployment_alone(self, bus: Bus, archive: MemoryArchive) -> None:
        async with pumping(bus, archive), bus.subscribe("dpl_a") as live:
            await bus.publish([*lines(0, deployment="dpl_b"), *lines(0, 1, deployment="dpl_a")])
            assert await received(live, 1) == [0, 1]

    async def test_a_late_subscriber_gets_what_comes_from_then_on(self, bus: Bus, archive: MemoryArchive) -> None:
        async with pumping(bus, archive):
            await bus.publish(lines(0))
            await archived(archive, 1)
            async with bus.subscribe(DEPLOYMENT) as live:
                await bus.publish(lines(1))
                assert 1 in await received(live, 1)

    async def test_a_quiet_subscription_answers_nothing_after_its_timeout(self, bus: Bus) -> None:
        async with bus.subscribe(DEPLOYMENT) as live:
            assert await live.get(0.01) == []

    async def test_a_slow_subscriber_holds_nobody_back(self, bus: Bus, archive: MemoryArchive) -> None:
        async with pumping(bus, archive), bus.subscribe(DEPLOYMENT) as slow:
            for first in range(0, 20_000, 1000):
                await bus.publish(lines(*range(first, first + 1000)))
            assert await archived(archive, 20_000) == list(range(20_000))
            assert len(await slow.get(WAIT_S)) < 20_000

    async def test_a_subscriber_that_leaves_is_forgotten(self, bus: Bus, archive: MemoryArchive) -> None:
        async with pumping(bus, archive):
            async with bus.subscribe(DEPLOYMENT):
                pass
            await bus.publish(lines(0))
            assert await archived(archive, 1) == [0]

    async def test_a_closed_bus_says_so_to_publishers(self, bus: Bus) -> None:
        await bus.__aexit__(None, None, None)
        with pytest.raises(Unavailable):
            await bus.publish(lines(0))

    async def test_a_closed_bus_says_so_to_subscribers(self, bus: Bus) -> None:
        async with bus.subscribe(DEPLOYMENT) as live:
            await bus.__aexit__(None, None, None)
            with pytest.raises(Unavailable):
                await live.get(WAIT_S)

    async def test_closing_twice_is_no_trouble(self, bus: Bus) -> None:
        await bus.__aexit__(None, None, None)
        await bus.__aexit__(None, None, None)


class RefusingArchive(MemoryArchive):
    """Keeps all lines but one."""

    def __init__(self, refused: int) -> None:
        super().__init__()
        self._refused = refused

    async def append(self, lines: Sequence[LogLine]) -> None:
        if self._refused in numbers(lines):
            raise InvalidInput("cannot be kept")
        await super().append(lines)


@asynccontextmanager
async def pumping(bus: Bus, archive: MemoryArchive) -> AsyncIterator[None]:
    pump = asyncio.create_task(Pump(bus, archive).run())
    try:
        yield
    finally:
        pump.cancel()
        await asyncio.wait([pump], timeout=WAIT_S)


async def archived(archive: MemoryArchive, count: int, deployment: str = DEPLOYMENT) -> list[int]:
    """The archive's numbers, once there are `count`: a bus may be durable before the archive is."""
    async with asyncio.timeout(WAIT_S):
        while len(found := await archive.read(deployment, limit=count + 1)) < count:  # noqa: ASYNC110  an archive signals nothing
            await asyncio.sleep(0.005)
    return numbers(found)


async def received(live: Subscription, last: int) -> list[int]:
    """The numbers that came live up to `last`, repeats left out: a bus may deliver a line again."""
    seen: dict[int, LogLine] = {}
    async with asyncio.timeout(WAIT_S):
        while last not in seen:
            seen |= {line.seq: line for line in await live.get(WAIT_S)}
    return list(seen)
