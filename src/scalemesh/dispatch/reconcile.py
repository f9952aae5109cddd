"""What makes the rows true: cancels, deadlines, lost leases, dead agents, leftovers."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from scalemesh.deployments import Due, Live, Queue
from scalemesh.dispatch.backends.base import Backend

log = structlog.get_logger(__name__)


class Reconciler:
    """One dispatcher's attempts against what its backend says. Every act is repeated until it is confirmed."""

    def __init__(self, queue: Queue, backend: Backend, dispatcher: str) -> None:
        self._queue = queue
        self._backend = backend
        self._dispatcher = dispatcher
        self._busy: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def step(self) -> None:
        """Starts what is due, in tasks of its own, so that one slow stop holds up nothing else."""
        for due in await self._queue.due(self._dispatcher):
            self._start(due)
        for live in await self._queue.live(self._dispatcher):
            if live.attempt not in self._busy and live.handle is not None:
                await self._look_after(live)

    async def adopt(self) -> None:
        """At a start: a launch that an earlier process did not come to write down either runs, or is tried again."""
        for live in await self._queue.live(self._dispatcher):
            if live.handle is None:
                await self._look_after(live)

    @contextmanager
    def keep_off(self, attempt: str) -> Iterator[None]:
        """While it is being launched: stopping comes after that."""
        self._busy.add(attempt)
        try:
            yield
        finally:
            self._busy.discard(attempt)

    async def sweep(self) -> None:
        """Removes what no live attempt owns: asked for in this order, so that a new attempt is never an orphan."""
        found = await self._backend.existing()
        owner = None if self._backend.shared else self._dispatcher
        live = {attempt.attempt for attempt in await self._queue.live(owner)}
        for orphan in found - live:
            log.warning("orphan of a build removed", attempt=orphan)
            await self._backend.stop(orphan, None)

    async def close(self) -> None:
        """Ends what is under way; the next process does it again."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, due: Due) -> None:
        if due.live.attempt in self._busy:
            return
        self._busy.add(due.live.attempt)
        task = asyncio.create_task(self._act(due))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _act(self, due: Due) -> None:
        attempt = due.live.attempt
        try:
            ours = due.live.dispatcher == self._dispatcher
            if ours:
                await self._backend.stop(attempt, due.live.handle, due.keep)
            await self._settle(due)
            if ours:
                await self._queue.cleaned(attempt)
        except Exception:
            log.exception("attempt not settled; trying again", attempt=attempt, reason=due.reason)
            await asyncio.sleep(1)
        finally:
            self._busy.discard(attempt)

    async def _settle(self, due: Due) -> None:
        attempt = due.live.attempt
        match due.reason:
            case "cancel":
                await self._queue.canceled(attempt)
            case "deadline":
                await self._queue.fail(attempt, "timeout", "The build did not end within its time limit.")
            case "lease":
                await self._queue.requeue(attempt, "The build server gave no sign of life.", code="lease_lost")
            case "clean":
                pass  # it has ended already; stopping it was all

    async def _look_after(self, live: Live) -> None:
        """An agent that died without a result is known at once, long before its lease runs out."""
        status = await self._backend.poll(live.attempt, live.handle)
        if status.running:
            return
        ended = status.ended
        if ended.infrastructure:
            settled = await self._queue.requeue(live.attempt, ended.message, code=ended.code)
        else:
            settled = await self._queue.fail(live.attempt, ended.code, ended.message)
        if settled:
            log.warning("build server ended", attempt=live.attempt, code=ended.code, detail=status.detail)
