"""Moves lines from the bus to the archive. Any number of pumps may run: the archive counts a line once."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import structlog

from scalemesh.errors import InvalidInput, Unavailable
from scalemesh.logs.archive.base import Archive
from scalemesh.logs.bus.base import Bus, Delivery

T = TypeVar("T")

BATCH_LINES = 10_000
FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 5.0

log = structlog.get_logger(__name__)


class Pump:
    """Takes what waits, appends it with one commit, and only then lets the bus forget it.

    An archive that does not answer is asked again, ever more slowly, and the bus holds its publishers back meanwhile.
    """

    def __init__(self, bus: Bus, archive: Archive, *, batch_lines: int = BATCH_LINES) -> None:
        self._bus = bus
        self._archive = archive
        self._batch_lines = batch_lines

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            deliveries = await _insist(lambda: self._bus.take(self._batch_lines))
            try:
                await self._append(deliveries)
            except InvalidInput:
                await self._one_by_one(deliveries)
            else:
                await _insist(partial(self._bus.commit, deliveries))

    async def _append(self, deliveries: Sequence[Delivery]) -> None:
        lines = [line for delivery in deliveries for line in delivery.lines]
        batches = [delivery.access for delivery in deliveries if delivery.access is not None]
        if lines:
            await _insist(lambda: self._archive.append(lines))
        if batches:
            await _insist(lambda: self._archive.access.append(batches))

    async def _one_by_one(self, deliveries: Sequence[Delivery]) -> None:
        """One of these cannot be archived: find it, and let the others through."""
        for delivery in deliveries:
            try:
                await self._append([delivery])
            except InvalidInput as error:
                log.error("log lines set aside", deployment=delivery.origin, reason=str(error))  # noqa: TRY400  the reason is the whole story
                await _insist(partial(self._bus.set_aside, delivery, str(error)))
            else:
                await _insist(partial(self._bus.commit, [delivery]))


async def _insist(attempt: Callable[[], Awaitable[T]]) -> T:
    """Until it works. Raises InvalidInput alone, which no repeat would mend."""
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            return await attempt()
        except InvalidInput:
            raise
        except Unavailable as error:
            log.warning("log pump waits", cause=error.message, retry_in_s=pause_s)
        except Exception:
            log.exception("log pump failed", retry_in_s=pause_s)
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
