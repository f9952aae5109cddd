"""What every bus with a broker does alike: deadlines and retries, records of one deployment, a backlog for the pumps.

An adapter is thin: it connects, sends, receives, acknowledges and follows, and raises what its client raises.
"""

import asyncio
from abc import abstractmethod
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any, ClassVar, Self, TypeVar

import structlog

from scalemesh.core.access import AccessBatch
from scalemesh.core.documents import decode, encode
from scalemesh.core.logs import LogLine
from scalemesh.errors import BadSettings, InvalidInput, Unavailable
from scalemesh.logs.bus.base import ACCESS, Bus, Delivery, SetAside, Subscription
from scalemesh.logs.bus.fanout import Fanout, closed

T = TypeVar("T")

RECORD_BYTES = 512 * 1024  # below what brokers take by default (1 MB)
CALL_S = 10.0
RECEIVE_S = 1.0
LINGER_S = 0.05  # lets a pump's batch grow; publishers do not wait for it
SET_ASIDE_SHOWN = 100
_PAUSES_S = (0.05, 0.1, 0.2, 0.5, 1.0)

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Record:
    """Lines of one deployment, or an access batch of one spool (`access:…`), as the broker keeps them."""

    deployment: str
    data: bytes


class BrokerBus(Bus):
    """Durable when the broker has answered. Lines are live before they are archived."""

    errors: ClassVar[tuple[type[Exception], ...]]
    """What the client raises when the broker cannot be reached, or will do later."""

    def __init__(self, *, timeout_s: float = 30, max_queued: int = 5_000) -> None:
        self._timeout_s = timeout_s
        self._fanout = Fanout(max_queued)
        self._waiting: deque[Delivery] = deque()
        self._receiving: asyncio.Task[None] | None = None
        self._following: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._closed = False

    async def __aenter__(self) -> Self:
        try:
            await self._insist(self._connect)
        except Unavailable as error:
            await self.__aexit__()
            raise BadSettings(
                f"SCALEMESH_LOG_BUS_URL: {error.message}",
                hint="Start the broker, or correct the URL.",
                field="SCALEMESH_LOG_BUS_URL",
            ) from error
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._closed = True
        self._fanout.close()
        tasks = [task for task in (self._receiving, self._following) if task]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=2 * CALL_S)  # Kafka's client leaves no group that it is joining
        await self._disconnect()

    async def publish(self, lines: Sequence[LogLine]) -> None:
        for record in _records(lines):
            await self._insist(partial(self._send, record))

    async def publish_access(self, batch: AccessBatch) -> None:
        (record,) = _written(Delivery(access=batch))
        await self._insist(partial(self._send, record))

    @asynccontextmanager
    async def subscribe(self, deployment: str) -> AsyncIterator[Subscription]:
        with self._fanout.subscribe(deployment) as subscription:
            async with self._starting:
                if self._following is None:
                    position = await self._insist(self._end)
                    self._following = asyncio.create_task(self._follow_on(position), name="log bus")
            yield subscription

    async def take(self, max_lines: int) -> list[Delivery]:
        while True:
            while not self._waiting:
                await self._receive_more(RECEIVE_S)
            if sum(delivery.size for delivery in self._waiting) < max_lines:
                await asyncio.sleep(LINGER_S)
                await self._receive_more(0)
            if taken := self._pop(max_lines):  # nothing: another pump of this process was quicker
                return taken

    async def commit(self, deliveries: Sequence[Delivery]) -> None:
        await self._insist(lambda: self._acknowledge([delivery.receipt for delivery in deliveries]))

    async def set_aside(self, delivery: Delivery, reason: str) -> None:
        for record in _written(delivery):
            await self._keep_aside(delivery.receipt, record, reason)

    async def count_set_aside(self) -> int:
        return await self._insist(self._count_aside)

    async def list_set_aside(self) -> list[SetAside]:
        return await self._insist(lambda: self._list_aside(SET_ASIDE_SHOWN))

    @abstractmethod
    async def _connect(self) -> None:
        """Again after it has failed; makes what is missing at the broker."""

    @abstractmethod
    async def _disconnect(self) -> None:
        """Tolerates never-connected and twice."""

    @abstractmethod
    async def _send(self, record: Record) -> None:
        """Durable on return."""

    @abstractmethod
    async def _receive(self, wait_s: float) -> list[tuple[Any, Record]]:
        """What no pump has yet, with a receipt for each; empty after `wait_s`."""

    @abstractmethod
    async def _acknowledge(self, receipts: Sequence[Any]) -> None:
        """The archive has these."""

    @abstractmethod
    async def _add_aside(self, record: Record, reason: str) -> None:
        """Durable on return."""

    @abstractmethod
    async def _count_aside(self) -> int:
        """All that are kept."""

    @abstractmethod
    async def _list_aside(self, limit: int) -> list[SetAside]:
        """The latest ones."""

    @abstractmethod
    async def _end(self) -> Any:
        """The position behind the last record."""

    @abstractmethod
    def _follow(self, position: Any) -> AsyncIterator[tuple[Any, Record]]:
        """Records from `position` on as they come, each with the position behind it."""

    def _pop(self, max_lines: int) -> list[Delivery]:
        taken: list[Delivery] = []
        count = 0
        while self._waiting and (not taken or count + self._waiting[0].size <= max_lines):
            taken.append(self._waiting.popleft())
            count += taken[-1].size
        return taken

    async def _receive_more(self, wait_s: float) -> None:
        """Shared and shielded: a pump that is canceled must not take records with it."""
        if self._closed:
            raise closed()
        if self._receiving is None or self._receiving.done():
            self._receiving = asyncio.create_task(self._fill(wait_s), name="log bus backlog")
        try:
            await asyncio.shield(self._receiving)
        except self.errors as error:
            raise _unreachable(error) from error

    async def _fill(self, wait_s: float) -> None:
        for receipt, record in await self._receive(wait_s):
            try:
                self._waiting.append(_read(record, receipt))
            except InvalidInput as error:
                log.error("log record set aside", deployment=record.deployment, reason=str(error))  # noqa: TRY400  the reason is the whole story
                await self._keep_aside(receipt, record, str(error))

    async def _keep_aside(self, receipt: Any, record: Record, reason: str) -> None:
        await self._insist(lambda: self._add_aside(record, reason))
        await self._insist(lambda: self._acknowledge([receipt]))

    async def _follow_on(self, position: Any) -> None:
        """Across restarts of the broker; what is missed in between, readers find in the archive."""
        pauses = _pauses()
        while True:
            try:
                async for behind, record in self._follow(position):
                    position, pauses = behind, _pauses()
                    self._deliver(record)
            except self.errors as error:
                log.warning("log bus does not answer", cause=str(error) or repr(error))
            await asyncio.sleep(next(pauses))

    def _deliver(self, record: Record) -> None:
        if record.deployment not in self._fanout.deployments:
            return
        try:
            self._fanout.deliver(record.deployment, _lines(record))
        except InvalidInput as error:  # a pump sets it aside
            log.warning("log record skipped", deployment=record.deployment, reason=str(error))

    async def _insist(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Tries until it works, for `timeout_s`. Raises Unavailable."""
        last: Exception | None = None
        try:
            async with asyncio.timeout(self._timeout_s):
                for pause_s in _pauses():
                    if self._closed:
                        raise closed()
                    try:
                        async with asyncio.timeout(CALL_S):
                            return await attempt()
                    except self.errors as error:
                        last = error
                    await asyncio.sleep(pause_s)
        except TimeoutError as error:
            raise _unreachable(last or error) from error
        raise closed()  # the pauses never end


def _pauses() -> Iterator[float]:
    yield from _PAUSES_S
    while True:
        yield _PAUSES_S[-1]


def _unreachable(error: Exception) -> Unavailable:
    return Unavailable(f"The log bus does not answer: {str(error) or repr(error)}", code="logs_unavailable")


def _read(record: Record, receipt: Any) -> Delivery:
    if record.deployment.startswith(ACCESS):
        return Delivery(receipt=receipt, access=decode(AccessBatch, record.data))
    return Delivery(_lines(record), receipt)


def _written(delivery: Delivery) -> Iterator[Record]:
    if delivery.access is None:
        return _records(delivery.lines)
    return iter([Record(delivery.origin, encode(delivery.access))])


def _records(lines: Sequence[LogLine]) -> Iterator[Record]:
    for deployment, run in groupby(lines, key=lambda line: line.deployment):
        yield from _fitting(deployment, list(run))


def _fitting(deployment: str, lines: list[LogLine]) -> Iterator[Record]:
    data = encode(lines)
    if len(data) <= RECORD_BYTES or len(lines) == 1:
        yield Record(deployment, data)
        return
    half = len(lines) // 2
    yield from _fitting(deployment, lines[:half])
    yield from _fitting(deployment, lines[half:])


def _lines(record: Record) -> list[LogLine]:
    lines = decode(list[LogLine], record.data)
    if not lines or any(line.deployment != record.deployment for line in lines):
        raise InvalidInput("Not lines of that deployment", code="invalid_log_lines")
    return lines
