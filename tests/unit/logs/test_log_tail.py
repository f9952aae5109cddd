"""`tail`: no gap, no repeat, whatever happens in between."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from scalemesh.core.logs import LogLine
from scalemesh.errors import Unavailable
from scalemesh.logs import LogService, tail
from scalemesh.logs.archive.memory import MemoryArchive
from scalemesh.logs.bus.memory import MemoryBus
from scalemesh.testing.bus_contract import pumping
from scalemesh.testing.log_lines import DEPLOYMENT, lines, numbers

WAIT_S = 10


async def never() -> None:
    return None


def ends_at(last: int | None) -> "Ending":
    return Ending(last)


class Ending:
    """The `end` of a tail, and whether it has been asked."""

    def __init__(self, last: int | None) -> None:
        self.last = last
        self.asked = asyncio.Event()

    async def __call__(self) -> int | None:
        self.asked.set()
        return self.last


async def collect(archive: MemoryArchive, bus: MemoryBus, after: int, end: Ending, **options: float) -> list[int]:
    async with asyncio.timeout(WAIT_S):
        return numbers([line async for line in tail(archive, bus, DEPLOYMENT, after, end=end, **options)])


async def test_an_ended_log_is_read_to_its_end() -> None:
    archive, bus = MemoryArchive(), MemoryBus()
    await archive.append(lines(*range(2500)))
    assert await collect(archive, bus, -1, ends_at(2500)) == list(range(2500))


async def test_starts_after_a_number() -> None:
    archive, bus = MemoryArchive(), MemoryBus()
    await archive.append(lines(0, 1, 2, 3))
    assert await collect(archive, bus, 1, ends_at(4)) == [2, 3]


async def test_a_number_past_the_end_gives_nothing() -> None:
    archive, bus = MemoryArchive(), MemoryBus()
    await archive.append(lines(0, 1))
    assert await collect(archive, bus, 9, ends_at(2)) == []


async def test_an_empty_log_ends() -> None:
    assert await collect(MemoryArchive(), MemoryBus(), -1, ends_at(0)) == []


async def test_lines_come_live() -> None:
    archive, end = MemoryArchive(), ends_at(None)
    async with MemoryBus() as bus, pumping(bus, archive):
        reading = asyncio.create_task(collect(archive, bus, -1, end, poll_s=WAIT_S))
        await end.asked.wait()
        await bus.publish(lines(0, 1))
        end.last = 3
        await bus.publish(lines(2))
        await bus.publish(lines(2))  # a repeat wakes the reader without a line, and it looks at `end`
        assert await reading == [0, 1, 2]


async def test_a_reader_that_falls_behind_reads_the_archive() -> None:
    archive, end = MemoryArchive(), ends_at(None)
    async with MemoryBus(max_queued=2) as bus, pumping(bus, archive):
        reading = asyncio.create_task(collect(archive, bus, -1, end, poll_s=WAIT_S))
        await end.asked.wait()
        end.last = 10
        await bus.publish(lines(*range(10)))
        assert await reading == list(range(10))


async def test_waits_for_lines_that_the_end_promises() -> None:
    archive, end = MemoryArchive(), ends_at(2)
    async with MemoryBus() as bus, pumping(bus, archive):
        reading = asyncio.create_task(collect(archive, bus, -1, end, poll_s=0.01))
        await end.asked.wait()
        await bus.publish(lines(0, 1))
        assert await reading == [0, 1]


async def test_gives_up_on_lines_that_never_arrive() -> None:
    archive, bus = MemoryArchive(), MemoryBus()
    await archive.append(lines(0, 1))
    with structlog.testing.capture_logs():
        assert await collect(archive, bus, -1, ends_at(3), poll_s=0.01, gap_s=0.05) == [0, 1]


async def test_skips_a_number_that_never_arrives() -> None:
    archive, bus = MemoryArchive(), MemoryBus()
    await archive.append(lines(0, 1, 3, 4))
    with structlog.testing.capture_logs() as logged:
        assert await collect(archive, bus, -1, ends_at(5), poll_s=0.01, gap_s=0.05) == [0, 1, 3, 4]
    assert logged[0]["seq"] == 2


async def test_waits_for_a_number_that_arrives_late() -> None:
    archive, end = MemoryArchive(), ends_at(4)
    await archive.append(lines(0, 2, 3))
    async with MemoryBus() as bus:
        reading = asyncio.create_task(collect(archive, bus, -1, end, poll_s=0.01))
        await end.asked.wait()
        await archive.append(lines(1))
        assert await reading == [0, 1, 2, 3]


async def test_a_closing_bus_ends_the_tail_with_an_error() -> None:
    end = ends_at(None)
    async with MemoryBus() as bus:
        reading = asyncio.create_task(collect(MemoryArchive(), bus, -1, end))
        await end.asked.wait()
    with pytest.raises(Unavailable):
        await reading


async def test_leaving_a_tail_ends_its_subscription() -> None:
    archive, bus = MemoryArchive(), MemoryBus()
    await archive.append(lines(0, 1))
    async with aclosing(tail(archive, bus, DEPLOYMENT, end=never)) as reading:
        await anext(reading)
        assert DEPLOYMENT in bus._fanout.deployments
    assert DEPLOYMENT not in bus._fanout.deployments


async def test_the_service_publishes_durably_and_tails() -> None:
    archive = MemoryArchive()
    async with LogService(MemoryBus(), archive) as logs:
        await logs.publish(lines(0, 1))
        assert numbers(await logs.read(DEPLOYMENT)) == [0, 1]
        assert numbers([line async for line in logs.tail(DEPLOYMENT, 0, end=ends_at(2))]) == [1]


class Leading(MemoryBus):
    """As a broker does: lines are live before they are archived, and again when they are delivered again."""

    async def publish(self, lines: Sequence[LogLine]) -> None:
        for subscription in self._fanout._subscribers.get(DEPLOYMENT, ()):
            subscription.put(lines)
        await super().publish(lines)


class Flaky(MemoryArchive):
    """An archive that answers late, and at times not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.hold = asyncio.Event()
        self.hold.set()

    async def append(self, lines: Sequence[LogLine]) -> None:
        await self.hold.wait()
        await super().append(lines)


class Story:
    """One writer and one reader; the writer crashes and resends, the reader leaves and comes back."""

    def __init__(self, bus: MemoryBus) -> None:
        self.bus = bus
        self.archive = Flaky()
        self.next = 0
        self.owed = 0  # lines that were sent, without an answer
        self.seen: list[int] = []
        self.end = ends_at(None)
        self.reader: asyncio.Task[None] | None = None

    async def read(self) -> None:
        after = self.seen[-1] if self.seen else -1
        async with aclosing(tail(self.archive, self.bus, DEPLOYMENT, after, end=self.end, poll_s=0.005)) as reading:
            async for line in reading:
                self.seen.append(line.seq)

    async def publish(self, count: int) -> None:
        count = max(count, self.owed)
        await self.bus.publish(lines(*range(self.next, self.next + count)))
        self.next += count
        self.owed = 0

    async def burst(self, count: int) -> None:
        """More than a reader's queue holds, before the reader has a turn."""
        await self.publish(1)
        sizes = [*range(1, count + 1), 1]
        starts = [self.next + sum(sizes[:number]) for number in range(len(sizes))]
        batches = [lines(*range(start, start + size)) for start, size in zip(starts, sizes, strict=True)]
        await asyncio.gather(*(self.bus.publish(batch) for batch in batches))
        self.next += sum(sizes)

    async def crash(self, count: int) -> None:
        """The writer dies before it hears an answer; the next one sends the same numbers again."""
        self.archive.hold.clear()
        publishing = asyncio.create_task(self.bus.publish(lines(*range(self.next, self.next + count))))
        await turns(3)
        publishing.cancel()
        await asyncio.wait([publishing])
        self.archive.hold.set()
        self.owed = max(self.owed, count)

    async def leave(self, count: int) -> None:
        if self.reader:
            self.reader.cancel()
            await asyncio.wait([self.reader])
        self.reader = asyncio.create_task(self.read())
        await turns(count)

    async def finish(self) -> None:
        if self.owed:
            await self.publish(self.owed)
        self.end.last = self.next
        async with asyncio.timeout(WAIT_S):
            await (self.reader or asyncio.create_task(self.read()))


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def tell(bus: MemoryBus, acts: list[tuple[str, int]]) -> Story:
    async with bus:
        story = Story(bus)
        async with pumping(bus, story.archive):
            for act, count in acts:
                await (turns(count) if act == "turns" else getattr(story, act)(count))
            await story.finish()
    return story


ACTS = st.lists(
    st.tuples(st.sampled_from(["publish", "burst", "crash", "leave", "turns"]), st.integers(1, 6)), max_size=25
)


@settings(deadline=None, max_examples=150)
@given(acts=ACTS, queued=st.integers(1, 8), kind=st.sampled_from([MemoryBus, Leading]))
def test_no_gap_and_no_repeat_in_any_story(acts: list[tuple[str, int]], queued: int, kind: type[MemoryBus]) -> None:
    story = asyncio.run(tell(kind(max_queued=queued), acts))
    assert story.seen == list(range(story.next))
