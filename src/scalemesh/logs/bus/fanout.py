"""Live lines for the subscribers of one process, each with a bounded queue of its own."""

import asyncio
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager

from scalemesh.core.logs import LogLine
from scalemesh.errors import Unavailable
from scalemesh.logs.bus.base import Subscription


class Fanout:
    """Nobody is held back: past `max_queued` lines a subscriber is sent to the archive."""

    def __init__(self, max_queued: int) -> None:
        self._max_queued = max_queued
        self._subscribers: dict[str, set[QueuedSubscription]] = {}
        self._closed = False

    @property
    def deployments(self) -> Container[str]:
        """Those that somebody follows."""
        return self._subscribers.keys()

    @contextmanager
    def subscribe(self, deployment: str) -> Iterator[Subscription]:
        if self._closed:
            raise closed()
        subscription = QueuedSubscription(self._max_queued)
        group = self._subscribers.setdefault(deployment, set())
        group.add(subscription)
        try:
            yield subscription
        finally:
            group.discard(subscription)
            if not group and self._subscribers.get(deployment) is group:
                del self._subscribers[deployment]

    def deliver(self, deployment: str, lines: Sequence[LogLine]) -> None:
        for subscription in self._subscribers.get(deployment, ()):
            subscription.put(lines)

    def close(self) -> None:
        self._closed = True
        for group in self._subscribers.values():
            for subscription in group:
                subscription.close()


class QueuedSubscription(Subscription):
    """A full queue is emptied: its reader then finds the lines in the archive."""

    def __init__(self, max_queued: int) -> None:
        self._max_queued = max_queued
        self._queued: list[LogLine] = []
        self._stirred = asyncio.Event()
        self._closed = False

    def put(self, lines: Sequence[LogLine]) -> None:
        if len(self._queued) + len(lines) > self._max_queued:
            self._queued = []
        else:
            self._queued.extend(lines)
        self._stirred.set()

    def close(self) -> None:
        self._closed = True
        self._stirred.set()

    async def get(self, timeout_s: float) -> list[LogLine]:
        try:
            async with asyncio.timeout(timeout_s):
                await self._stirred.wait()
        except TimeoutError:
            return []
        if self._closed:
            raise closed()
        self._stirred.clear()
        lines, self._queued = self._queued, []
        return lines


def closed() -> Unavailable:
    return Unavailable("The log bus is closed", code="logs_closed", hint="Read again from the last number you have.")
