"""One step from its start to its end: output, deadline, disk and memory."""

import asyncio
import os
from collections.abc import Coroutine
from typing import Any

from scalemesh.core.build import Limits
from scalemesh.errors import InfrastructureFault
from scalemesh.sandbox import limits as cgroups
from scalemesh.sandbox import watch
from scalemesh.sandbox.output import OnOutput, Output
from scalemesh.sandbox.runner import Runner
from scalemesh.sandbox.step import Reason, StepCommand

WATCH_EVERY_S = 0.5
KILLED_CODE = 137
_DIE_S = 15.0
_OURS = 4  # at most: processes of the sandbox's own that RLIMIT_NPROC counts with the step's


class Supervision:
    """Runs one step, once. `end` may be called at any time while it runs; the first reason counts."""

    def __init__(self, runner: Runner, disk: watch.DiskWatch, limits: Limits, *, linger_s: float | None) -> None:
        self._runner = runner
        self._disk = disk
        self._limits = limits
        self._linger_s = linger_s  # how long to read on from what a step left behind; None: nothing can be left
        self._memory = cgroups.own_memory()
        processes = cgroups.own_processes()
        self._processes = processes if processes and processes.is_of(limits) else None
        self._processes_before = self._processes.count() if self._processes else 0
        self.reason: Reason | None = None

    def end(self, reason: Reason) -> None:
        self.reason = self.reason or reason
        self._runner.kill()

    async def run(self, step: StepCommand, on_output: OnOutput) -> int:
        """The exit code. Raises InfrastructureFault, and what `on_output` raised, after killing the step."""
        kills = self._oom_kills()
        try:
            code = await self._run(step, on_output)
        except InfrastructureFault:
            if self._oom_kills() == kills:
                raise
            code = KILLED_CODE  # the kernel took the sandbox's own process along
        if code and self._oom_kills() > kills:
            self.reason = self.reason or "memory"
        if self._has_too_many():
            self.reason = self.reason or "processes"
        self.reason = self.reason or self._runner.hit
        return code

    async def _run(self, step: StepCommand, on_output: OnOutput) -> int:
        async with Output(on_output) as output:
            await self._runner.start(step, output.stdout, output.stderr)
            output.handed_over()
            if self.reason:
                self._runner.kill()  # ended before it began
            ended = asyncio.create_task(self._runner.wait())
            deadline = asyncio.get_running_loop().call_later(step.timeout_s, self.end, "timeout")
            try:
                return await self._first(self._finish(ended, output), self._watch())
            finally:
                deadline.cancel()
                if not ended.done():
                    self._runner.kill()
                    await asyncio.wait({ended}, timeout=_DIE_S)
                await _stop(ended)

    async def _finish(self, ended: asyncio.Task[int], output: Output) -> int:
        reading = asyncio.create_task(output.read())
        try:
            await asyncio.wait({ended, reading}, return_when=asyncio.FIRST_EXCEPTION)
            if ended.done():
                await asyncio.wait({reading}, timeout=self._linger_s)
            if reading.done():
                reading.result()
            return await ended
        finally:
            await _stop(reading)

    async def _first(self, work: Coroutine[Any, Any, int], beside: Coroutine[Any, Any, int]) -> int:
        """The result of `work`, unless `beside`, which has none, fails before."""
        tasks = {asyncio.create_task(work), asyncio.create_task(beside)}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            return next(iter(done)).result()
        finally:
            await _stop(*tasks)

    async def _watch(self) -> int:
        pid = self._runner.pid
        while True:
            if await asyncio.to_thread(self._disk.exceeded):
                self.end("disk")
            elif self._has_too_many():
                self.end("processes")
            elif pid and not self._memory_is_limited() and await asyncio.to_thread(self._holds_too_much, pid):
                self.end("memory")
            await asyncio.sleep(WATCH_EVERY_S)

    def _holds_too_much(self, pid: int) -> bool:
        return watch.memory_bytes(pid) > self._limits.memory_bytes

    def _memory_is_limited(self) -> bool:
        limit = self._memory.limit_bytes() if self._memory else None
        return limit is not None and limit <= self._limits.memory_bytes + os.sysconf("SC_PAGE_SIZE")

    def _has_too_many(self) -> bool:
        """Whether the step has had as many processes and threads as RLIMIT_NPROC lets it have."""
        group = self._processes
        return group is not None and group.most() - self._processes_before >= self._limits.processes - _OURS

    def _oom_kills(self) -> int:
        return self._memory.oom_kills() if self._memory else 0


async def _stop(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
