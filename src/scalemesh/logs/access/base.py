"""The port of the archive of access records, and what is asked of it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from scalemesh.core.access import MAX_AT, AccessBatch, AccessRecord, Cache


@dataclass(frozen=True)
class Wanted:
    """`since ≤ at < until`, in UTC milliseconds; statuses from the first to the second."""

    project: str
    since: int = 0
    until: int = MAX_AT
    statuses: tuple[int, int] = (100, 599)


@dataclass(frozen=True, order=True)
class Place:
    """Of a record among those of its project; unique."""

    at: int
    spool: str
    number: int
    index: int


@dataclass(frozen=True)
class Found:
    place: Place
    record: AccessRecord


@dataclass(frozen=True)
class Sum:
    """All requests from `at` on, for one step, with this status and cache state."""

    at: int
    status: int
    cache: Cache
    requests: int
    bytes: int
    took_us: int
    latency: Sequence[int]


DAY_MS = 86_400_000


class AccessArchive(ABC):
    """Opened and closed with the log archive that it belongs to."""

    @abstractmethod
    async def append(self, batches: Sequence[AccessBatch]) -> None:
        """Durable on return; a batch that is already there changes nothing. Raises Unavailable or InvalidInput."""

    @abstractmethod
    async def records(self, wanted: Wanted, before: Place | None = None, limit: int = 100) -> list[Found]:
        """At most `limit`, newest first, from behind `before`."""

    @abstractmethod
    async def sums(self, wanted: Wanted, step_ms: int) -> list[Sum]:
        """By time, in steps of the clock."""

    @abstractmethod
    async def delete(self, project: str) -> None:
        """Forget a project's; nothing happens on the second call."""

    @abstractmethod
    async def retain(self, days: int) -> None:
        """Forget what is older; called now and then."""
