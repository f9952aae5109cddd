"""Builds as tasks of this process: for tests, and for measuring a queue without what it feeds."""

import asyncio
from collections.abc import Awaitable, Callable

from scalemesh.core.build import CacheScope
from scalemesh.dispatch.backends.base import Backend, Handle, Launch, Status


class MemoryBackend(Backend):
    """`work` is the build server: it gets the Launch and ends when the attempt has."""

    name = "memory"

    def __init__(self, work: Callable[[Launch], Awaitable[None]]) -> None:
        self._work = work
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def __aexit__(self, *_: object) -> None:
        for attempt in list(self._tasks):
            await self.stop(attempt, None)

    async def launch(self, launch: Launch) -> Handle:
        if launch.attempt not in self._tasks:
            self._tasks[launch.attempt] = asyncio.ensure_future(self._work(launch))
        return {"task": launch.attempt}

    async def poll(self, attempt: str, handle: Handle | None) -> Status:
        task = self._tasks.get(attempt)
        if task is None:
            return Status(running=False, detail="it is gone")
        if not task.done():
            return Status(running=True)
        return Status(running=False, detail=repr(task.exception()) if task.exception() else "it ended")

    async def stop(self, attempt: str, handle: Handle | None, keep: CacheScope | None = None) -> None:
        task = self._tasks.pop(attempt, None)
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def existing(self) -> set[str]:
        return set(self._tasks)
