"""The pump between a bus and an archive that has its bad days."""

import asyncio
from collections.abc import Iterator, Sequence

import pytest
import structlog

from scalemesh.core.logs import LogLine
from scalemesh.errors import InvalidInput, Unavailable
from scalemesh.logs import pump
from scalemesh.logs.archive.memory import MemoryArchive
from scalemesh.logs.bus.memory import MemoryBus
from scalemesh.testing.bus_contract import pumping
from scalemesh.testing.log_lines import DEPLOYMENT, lines, numbers


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(pump, "FIRST_PAUSE_S", 0.001)
    with structlog.testing.capture_logs():
        yield


class Moody(MemoryArchive):
    """Fails as often as told, and never takes the text "poison"."""

    def __init__(self, failures: Sequence[Exception] = ()) -> None:
        super().__init__()
        self.failures = list(failures)
        self.batches: list[list[int]] = []

    async def append(self, lines: Sequence[LogLine]) -> None:
        if self.failures:
            raise self.failures.pop()
        if any(line.text == "poison" for line in lines):
            raise InvalidInput("poison")
        self.batches.append(numbers(lines))
        await super().append(lines)


@pytest.mark.parametrize("failure", [Unavailable("gone"), RuntimeError("a bug")])
async def test_tries_again_until_the_archive_answers(failure: Exception) -> None:
    archive = Moody([failure, failure])
    async with MemoryBus() as bus, pumping(bus, archive):
        await bus.publish(lines(0, 1))
    assert numbers(await archive.read(DEPLOYMENT)) == [0, 1]


async def test_one_commit_for_all_that_waits() -> None:
    archive = Moody()
    async with MemoryBus() as bus, asyncio.TaskGroup() as tasks:
        publishing = [tasks.create_task(bus.publish(lines(seq))) for seq in range(5)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        async with pumping(bus, archive):
            await asyncio.wait(publishing, timeout=5)
    assert archive.batches == [[0, 1, 2, 3, 4]]


async def test_a_poison_batch_is_set_aside_and_the_others_pass() -> None:
    archive = Moody()
    poison = LogLine(deployment="dpl_bad", attempt=1, seq=0, ts=0, text="poison")
    async with MemoryBus() as bus:
        publishing = [asyncio.create_task(bus.publish(batch)) for batch in (lines(0), [poison], lines(1))]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        async with pumping(bus, archive):
            outcomes = await asyncio.gather(*publishing, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), InvalidInput, type(None)]
    assert numbers(await archive.read(DEPLOYMENT)) == [0, 1]
