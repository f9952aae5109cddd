"""The dispatcher: claims what is queued, launches it, and sees every attempt to its end.

The database is the queue, so a dispatcher may die at any moment: its agents go on, and the next one of the same name
takes its attempts up where they are.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import structlog

from scalemesh.db import Wakeup
from scalemesh.deployments import Claimed, ClaimLimits, Live, Queue
from scalemesh.deployments.ending import SHUTDOWN
from scalemesh.dispatch.backends.base import Backend, Launch
from scalemesh.dispatch.reconcile import Reconciler
from scalemesh.errors import BadSettings, ScaleMeshError

log = structlog.get_logger(__name__)

SLOW_POLL_S = 1.0
SWEEP_S = 60.0
BATCH = 32  # claimed in one transaction
_RESTART_S = 1.0
Act = Callable[[], Awaitable[object]]
_STOP_S = 4.0


@dataclass(frozen=True)
class DispatchSettings:
    """`name` is stable across restarts of this machine's dispatcher; 0 is no limit."""

    name: str
    concurrency: int
    team_concurrency: int = 0
    project_concurrency: int = 0


class Dispatcher:
    """`run` until cancelled; then `drain` for a clean stop."""

    def __init__(self, queue: Queue, backend: Backend, wakeup: Wakeup, settings: DispatchSettings) -> None:
        self._queue = queue
        self._backend = backend
        self._wakeup = wakeup
        self._settings = settings
        self._reconciler = Reconciler(queue, backend, settings.name)
        self._launching: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Claims and reconciles for ever; a database that is away is waited for. Leaves no task behind."""
        await self._until_done(lambda: self._queue.renew(self._settings.name))
        await self._until_done(self._reconciler.adopt)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._forever("claim", "queue", self._claim_all))
                group.create_task(self._forever("reconcile", "attempts", self._reconciler.step))
                group.create_task(self._every("sweep", self._reconciler.sweep, SWEEP_S))
        finally:
            await asyncio.gather(*self._launching, return_exceptions=True)
            await self._reconciler.close()

    async def drain(self) -> None:
        """A clean stop: what runs here is stopped and queued again, at once and without counting as a fault.

        What cannot be stopped in time goes on, and is taken up by the next process of this name.
        """
        live = await self._queue.live(self._settings.name)
        stopping = [asyncio.create_task(self._guarded("stop", partial(self._give_back, one))) for one in live]
        if stopping:
            _, late = await asyncio.wait(stopping, timeout=_STOP_S)
            log.info("builds put back into the queue", count=len(live) - len(late), late=len(late))

    async def _give_back(self, live: Live) -> None:
        await self._backend.stop(live.attempt, live.handle)
        await self._queue.requeue(live.attempt, "The platform was stopped.", code=SHUTDOWN)
        await self._queue.cleaned(live.attempt)

    async def _claim_all(self) -> None:
        own = self._settings
        limits = ClaimLimits(own.concurrency, own.team_concurrency, own.project_concurrency)
        is_more = True
        while is_more:
            claimed = await self._queue.claim(own.name, self._backend.name, limits, BATCH)
            is_more = len(claimed) == BATCH
            for each in claimed:
                task = asyncio.create_task(self._launch(each))
                self._launching.add(task)
                task.add_done_callback(self._launching.discard)

    async def _launch(self, claimed: Claimed) -> None:
        launch = Launch(
            claimed.attempt, claimed.deployment, claimed.number, claimed.token, claimed.limits, claimed.caches
        )
        try:
            with self._reconciler.keep_off(claimed.attempt):
                await self._queue.set_handle(claimed.attempt, await self._backend.launch(launch))
        except (ScaleMeshError, OSError) as error:
            log.warning("build server did not start", attempt=claimed.attempt, cause=str(error))
            await self._backend.stop(claimed.attempt, None)
            if isinstance(error, BadSettings):
                await self._queue.fail(claimed.attempt, error.code, f"{error.message} {error.hint or ''}".strip())
            else:
                await self._queue.requeue(claimed.attempt, f"The build server did not start: {error}.")
            await self._queue.cleaned(claimed.attempt)
        except Exception:  # the database, most likely: the lease sees to the attempt
            log.exception("launch not recorded", attempt=claimed.attempt)

    async def _forever(self, name: str, topic: str, act: Act) -> None:
        with self._wakeup.listen(topic) as listener:
            while True:
                await self._guarded(name, act)
                await listener.wait(SLOW_POLL_S)

    async def _every(self, name: str, act: Act, seconds: float) -> None:
        while True:
            await self._guarded(name, act)
            await asyncio.sleep(seconds)

    async def _guarded(self, name: str, act: Act) -> bool:
        """One round; whatever goes wrong is reported and tried again: a dispatcher does not die of a bad moment."""
        try:
            await act()
        except Exception:
            log.exception("dispatcher round failed", round=name)
            await asyncio.sleep(_RESTART_S)
            return False
        return True

    async def _until_done(self, act: Act) -> None:
        while not await self._guarded("start", act):
            continue
