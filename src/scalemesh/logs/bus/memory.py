"""The bus of one process: a queue that its own pump empties. `publish` returns after the archive has committed."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import groupby

from scalemesh.core.access import AccessBatch
from scalemesh.core.logs import LogLine
from scalemesh.errors import InvalidInput, Unavailable
from scalemesh.logs.bus.base import Bus, Delivery, Subscription
from scalemesh.logs.bus.fanout import Fanout, closed


class MemoryBus(Bus):
    """Lines go live when they are archived, so no reader sees what a crash could take back.

    Past `max_waiting` lines publishers wait; past `max_queued` a subscriber is sent to the archive.
    """

    def __init__(self, *, max_waiting: int = 50_000, max_queued: int = 5_000, timeout_s: float = 30) -> None:
        self._max_waiting = max_waiting
        self._timeout_s = timeout_s
        self._waiting: deque[Delivery] = deque()
        self._waiting_lines = 0
        self._unanswered: set[asyncio.Future[None]] = set()
        self._changed = asyncio.Condition()
        self._fanout = Fanout(max_queued)
        self._closed = False

    async def __aexit__(self, *exc_info: object) -> None:
        self._closed = True
        for answer in [answer for answer in self._unanswered if not answer.done()]:
            answer.set_exception(closed())
        self._fanout.close()
        async with self._changed:
            self._changed.notify_all()

    async def publish(self, lines: Sequence[LogLine]) -> None:
        if lines:
            await self._pass(Delivery(lines, self._answer()))

    async def publish_access(self, batch: AccessBatch) -> None:
        await self._pass(Delivery(receipt=self._answer(), access=batch))

    def _answer(self) -> asyncio.Future[None]:
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._unanswered.add(answer)
        answer.add_done_callback(self._unanswered.discard)
        return answer

    async def _pass(self, delivery: Delivery) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._enqueue(delivery)
                await delivery.receipt
        except TimeoutError as error:
            raise Unavailable(
                f"The log archive did not take {delivery.size} lines within {self._timeout_s:g} s",
                code="logs_unavailable",
            ) from error

    async def _enqueue(self, delivery: Delivery) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._closed or self._waiting_lines < self._max_waiting)
            if self._closed:
                raise closed()
            self._waiting.append(delivery)
            self._waiting_lines += delivery.size
            self._changed.notify_all()

    @asynccontextmanager
    async def subscribe(self, deployment: str) -> AsyncIterator[Subscription]:
        with self._fanout.subscribe(deployment) as subscription:
            yield subscription

    async def take(self, max_lines: int) -> list[Delivery]:
        async with self._changed:
            await self._changed.wait_for(lambda: self._closed or self._waiting)
            if self._closed:
                raise closed()
            taken = [self._waiting.popleft()]
            count = taken[0].size
            while self._waiting and count + self._waiting[0].size <= max_lines:
                taken.append(self._waiting.popleft())
                count += taken[-1].size
            self._waiting_lines -= count
            self._changed.notify_all()
        return taken

    async def commit(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            for deployment, lines in groupby(delivery.lines, key=lambda line: line.deployment):
                if deployment in self._fanout.deployments:
                    self._fanout.deliver(deployment, list(lines))
            _settle(delivery, None)

    async def set_aside(self, delivery: Delivery, reason: str) -> None:
        _settle(delivery, InvalidInput(f"The log archive refuses these lines: {reason}", code="invalid_log_lines"))


def _settle(delivery: Delivery, error: Exception | None) -> None:
    """Answer the publisher, unless it has given up waiting."""
    answer: asyncio.Future[None] = delivery.receipt
    if answer.done():
        return
    if error is None:
        answer.set_result(None)
    else:
        answer.set_exception(error)
