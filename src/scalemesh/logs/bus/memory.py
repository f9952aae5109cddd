"""The bus of one process: a queue that its own pump empties. `publish` returns after the archive has committed."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import groupby

from scalemesh.core.logs import LogLine
from scalemesh.errors import InvalidInput, Unavailable
from scalemesh.logs.bus.base import Bus, Delivery, Subscription


class MemoryBus(Bus):
    """Lines go live when they are archived, so no reader sees what a crash could take back.

    Past `max_waiting` lines publishers wait; past `max_queued` a subscriber is sent to the archive.
    """

    def __init__(self, *, max_waiting: int = 50_000, max_queued: int = 5_000, timeout_s: float = 30) -> None:
        self._max_waiting = max_waiting
        self._max_queued = max_queued
        self._timeout_s = timeout_s
        self._waiting: deque[Delivery] = deque()
        self._waiting_lines = 0
        self._unanswered: set[asyncio.Future[None]] = set()
        self._changed = asyncio.Condition()
        self._subscribers: dict[str, set[MemorySubscription]] = {}
        self._closed = False

    async def __aexit__(self, *exc_info: object) -> None:
        self._closed = True
        for answer in [answer for answer in self._unanswered if not answer.done()]:
            answer.set_exception(_closed())
        for subscription in [s for group in self._subscribers.values() for s in group]:
            subscription.close()
        async with self._changed:
            self._changed.notify_all()

    async def publish(self, lines: Sequence[LogLine]) -> None:
        if not lines:
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                await (await self._enqueue(lines))
        except TimeoutError as error:
            raise Unavailable(
                f"The log archive did not take {len(lines)} lines within {self._timeout_s:g} s", code="logs_unavailable"
            ) from error

    async def _enqueue(self, lines: Sequence[LogLine]) -> asyncio.Future[None]:
        async with self._changed:
            await self._changed.wait_for(lambda: self._closed or self._waiting_lines < self._max_waiting)
            if self._closed:
                raise _closed()
            answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._unanswered.add(answer)
            answer.add_done_callback(self._unanswered.discard)
            self._waiting.append(Delivery(lines, answer))
            self._waiting_lines += len(lines)
            self._changed.notify_all()
        return answer

    @asynccontextmanager
    async def subscribe(self, deployment: str) -> AsyncIterator[Subscription]:
        if self._closed:
            raise _closed()
        subscription = MemorySubscription(self._max_queued)
        group = self._subscribers.setdefault(deployment, set())
        group.add(subscription)
        try:
            yield subscription
        finally:
            group.discard(subscription)
            if not group and self._subscribers.get(deployment) is group:
                del self._subscribers[deployment]

    async def take(self, max_lines: int) -> list[Delivery]:
        async with self._changed:
            await self._changed.wait_for(lambda: self._closed or self._waiting)
            if self._closed:
                raise _closed()
            taken = [self._waiting.popleft()]
            count = len(taken[0].lines)
            while self._waiting and count + len(self._waiting[0].lines) <= max_lines:
                taken.append(self._waiting.popleft())
                count += len(taken[-1].lines)
            self._waiting_lines -= count
            self._changed.notify_all()
        return taken

    async def commit(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            for deployment, lines in groupby(delivery.lines, key=lambda line: line.deployment):
                if subscriptions := self._subscribers.get(deployment):
                    run = list(lines)
                    for subscription in subscriptions:
                        subscription.put(run)
            _settle(delivery, None)

    async def set_aside(self, delivery: Delivery, reason: str) -> None:
        _settle(delivery, InvalidInput(f"The log archive refuses these lines: {reason}", code="invalid_log_lines"))


class MemorySubscription(Subscription):
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
            raise _closed()
        self._stirred.clear()
        lines, self._queued = self._queued, []
        return lines


def _settle(delivery: Delivery, error: Exception | None) -> None:
    """Answer the publisher, unless it has given up waiting."""
    answer: asyncio.Future[None] = delivery.receipt
    if answer.done():
        return
    if error is None:
        answer.set_result(None)
    else:
        answer.set_exception(error)


def _closed() -> Unavailable:
    return Unavailable("The log bus is closed", code="logs_closed", hint="Read again from the last number you have.")
