"""The port of a log bus: what publishers, pumps and readers need of it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Self

from scalemesh.core.access import AccessBatch
from scalemesh.core.logs import LogLine

ACCESS = "access:"  # before a spool's id, where log lines have their deployment's


@dataclass(frozen=True, eq=False)
class Delivery:
    """Lines published together, or a batch of access records, on the way to the archive; `receipt` is the adapter's."""

    lines: Sequence[LogLine] = ()
    receipt: Any = None
    access: AccessBatch | None = None

    @property
    def origin(self) -> str:
        """The deployment, or the spool, that it came from."""
        return self.lines[0].deployment if self.access is None else f"{ACCESS}{self.access.spool}"

    @property
    def size(self) -> int:
        """In lines, or rows."""
        return len(self.lines) if self.access is None else len(self.access.rows.totals) + len(self.access.rows.records)


@dataclass(frozen=True)
class SetAside:
    """A batch that the archive refused: `at` is UTC milliseconds."""

    deployment: str
    reason: str
    at: int
    data: bytes


class Subscription(ABC):
    """The live lines of one deployment, in a bounded queue."""

    @abstractmethod
    async def get(self, timeout_s: float) -> list[LogLine]:
        """Lines since the last call; empty after `timeout_s`, or when some were dropped: read the archive then."""


class Bus(ABC):
    """Order per deployment; every published line is delivered to a pump at least once.

    `settled_s`: by then what was published has reached the archive, also if a pump that held it has died.
    """

    settled_s = 5.0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:  # noqa: B027  nothing to close is a valid answer
        """Tolerates a second call; waiting publishers and subscribers get Unavailable."""

    @abstractmethod
    async def publish(self, lines: Sequence[LogLine]) -> None:
        """Durable on return. Raises Unavailable (publish again: the same numbers count once) or InvalidInput."""

    @abstractmethod
    async def publish_access(self, batch: AccessBatch) -> None:
        """The same for a batch of access records; (spool, number) counts once. Nobody subscribes to these."""

    @abstractmethod
    def subscribe(self, deployment: str) -> AbstractAsyncContextManager[Subscription]:
        """Live from the moment it is entered. A line may be live before the archive has it, or again after."""

    @abstractmethod
    async def take(self, max_lines: int) -> list[Delivery]:
        """Pump: what waits for the archive, oldest first; at least one delivery, and no more than about `max_lines`."""

    @abstractmethod
    async def commit(self, deliveries: Sequence[Delivery]) -> None:
        """Pump: the archive has these; they are not delivered again."""

    @abstractmethod
    async def set_aside(self, delivery: Delivery, reason: str) -> None:
        """Pump: the archive will never take this one; keep it out of the way of the others, with its reason."""

    async def count_set_aside(self) -> int:
        """How many batches are kept aside; 0 where their publisher has been told instead. Raises Unavailable."""
        return 0

    async def list_set_aside(self) -> list[SetAside]:
        """The latest of them first, for operators. Raises Unavailable."""
        return []
