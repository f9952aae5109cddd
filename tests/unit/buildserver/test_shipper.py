import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
import pytest

from scalemesh.buildserver import shipper as module
from scalemesh.buildserver.control.memory import MemoryControl
from scalemesh.buildserver.redaction import Redactor
from scalemesh.buildserver.shipper import Shipper
from scalemesh.core.build import Batch, BatchAnswer, Limits, StepStarted
from scalemesh.core.logs import MAX_LINE_BYTES
from scalemesh.errors import BuildFailed, Conflict, InfrastructureFault, Unavailable
from tests.unit.buildserver.test_build_environment import claim


def control(**limits: Any) -> MemoryControl:
    given = claim({})
    spec = msgspec.structs.replace(given.spec, limits=Limits(**limits))
    return MemoryControl(msgspec.structs.replace(given, spec=spec, first_seq=7))


def shipper(memory: MemoryControl, *secrets: str) -> Shipper:
    return Shipper(memory, memory._claim, Redactor(secrets), clock=lambda: 123)


@asynccontextmanager
async def running(one: Shipper) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(one.run())
    yield task
    task.cancel()
    with suppress(asyncio.CancelledError, Conflict, InfrastructureFault):
        await task


async def many(one: Shipper, count: int, text: str) -> None:
    for _ in range(count):
        await one.line(text, stream="stdout")


async def test_numbers_go_on_from_the_claims() -> None:
    memory = control()
    one = shipper(memory)
    async with running(one):
        await one.line("first", step="clone")
        await one.line("second", stream="stderr", level="warn")
        await one.flush(5)
    assert [(line.seq, line.text, line.stream, line.level, line.ts) for line in memory.lines] == [
        (7, "first", "system", "info", 123),
        (8, "second", "stderr", "warn", 123),
    ]


async def test_events_are_numbered_from_zero() -> None:
    memory = control()
    one = shipper(memory)
    async with running(one):
        for _ in range(2):
            one.event(lambda n: StepStarted(n=n, step="clone", at=1))
        await one.flush(5)
    assert [event.n for event in memory.events] == [0, 1]


async def test_secrets_do_not_leave() -> None:
    memory = control()
    one = shipper(memory, "hunter22")
    async with running(one):
        one.note("the password is hunter22")
        await one.flush(5)
    assert memory.lines[0].text == "the password is [redacted]"


async def test_long_lines_are_split() -> None:
    memory = control()
    one = shipper(memory)
    async with running(one):
        await one.line("x" * (MAX_LINE_BYTES + 1))
        await one.flush(5)
    assert [(len(line.text), line.partial) for line in memory.lines] == [(MAX_LINE_BYTES, True), (1, False)]


class Forgetful(MemoryControl):
    """Takes what it is sent; the answer to every first try is lost."""

    tries = 0

    async def send(self, batch: Batch) -> BatchAnswer:
        answer = await super().send(batch)
        self.tries += 1
        if self.tries % 2:
            raise Unavailable("no answer")
        return answer


async def test_a_lost_answer_repeats_nothing() -> None:
    memory = Forgetful(control()._claim)
    one = shipper(memory)
    async with running(one):
        for n in range(3):
            await one.line(f"line {n}")
            one.event(lambda n: StepStarted(n=n, step="build", at=1))
            await one.flush(5)
    assert [line.text for line in memory.lines] == ["line 0", "line 1", "line 2"]
    assert len(memory.events) == 3


async def test_waits_for_an_api_that_is_away() -> None:
    memory = control()
    memory.fault = Unavailable("being restarted")
    one = shipper(memory)
    async with running(one):
        await one.line("kept")
        with pytest.raises(TimeoutError):
            await one.flush(0.2)
        memory.fault = None
        await one.flush(5)
    assert [line.text for line in memory.lines] == ["kept"]


async def test_full_buffer_makes_the_build_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUFFER_BYTES", 2000)
    memory = control()
    memory.fault = Unavailable("away")
    one = shipper(memory)
    async with running(one):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(many(one, 100, "x" * 100), 0.3)
        memory.fault = None
        await one.line("goes on")
        await one.flush(5)
    assert 5 < len(memory.lines) < 20


async def test_large_log_travels_in_several_batches_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_BYTES", 1000)
    memory = control()
    one = shipper(memory)
    async with running(one):
        for n in range(50):
            await one.line(f"{n}")
        await one.flush(5)
    assert [line.text for line in memory.lines] == [str(n) for n in range(50)]


async def test_log_limit_is_the_builds_not_ours() -> None:
    memory = control(log_bytes=1000)
    one = shipper(memory)
    async with running(one):
        with pytest.raises(BuildFailed, match="more than") as failed:
            await many(one, 100, "y" * 50)
        one.note("the reason")
        await one.flush(5)
    assert failed.value.code == "log_limit"
    assert memory.lines[-1].text == "the reason"


async def test_refusal_ends_it() -> None:
    memory = control()
    memory.fault = Conflict("another attempt has it")
    one = shipper(memory)
    async with running(one) as task:
        await one.line("too late")
        with pytest.raises(Conflict):
            await asyncio.wait_for(task, 5)


async def test_cancel_comes_with_the_answer() -> None:
    memory = control()
    memory.canceled = True
    one = shipper(memory)
    async with running(one):
        await one.line("x")
        await asyncio.wait_for(one.canceled.wait(), 5)


class Amnesiac(MemoryControl):
    async def send(self, batch: Batch) -> BatchAnswer:
        return BatchAnswer(next_seq=0, next_event=0)


async def test_lost_lines_are_a_fault_not_a_loop() -> None:
    one = shipper(Amnesiac(control()._claim))
    async with running(one) as task:
        await one.line("x")
        with pytest.raises(InfrastructureFault):
            await asyncio.wait_for(task, 5)
