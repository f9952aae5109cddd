"""The port of a log archive: every line, once, in order."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

from scalemesh.core.logs import LogLine
from scalemesh.logs.access.base import AccessArchive
from scalemesh.logs.search import Search


class Archive(ABC):
    """Append-only per (deployment, seq). Every method may be called at the same time as any other.

    `access` is the part for access records, in the same engine.
    """

    access: AccessArchive

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:  # noqa: B027  nothing to close is a valid answer
        """Tolerates a second call."""

    @abstractmethod
    async def append(self, lines: Sequence[LogLine]) -> None:
        """Durable on return, all or none; a number that is already there is left as it is.

        Raises Unavailable (try again) or InvalidInput (these lines will never do).
        """

    @abstractmethod
    async def read(self, deployment: str, after: int = -1, limit: int = 1000) -> list[LogLine]:
        """At most `limit` lines with `seq > after`, by seq; -1 is the start. Unknown deployments have none."""

    @abstractmethod
    async def find(
        self, deployments: Sequence[str], search: Search, after: int = -1, limit: int = 100
    ) -> list[LogLine]:
        """At most `limit` lines that match: deployments in the order given, each by seq, the first with `seq > after`.

        Raises InvalidInput for an expression that is none, or one that would search for too long.
        """

    @abstractmethod
    async def delete(self, deployment: str) -> None:
        """Forget a deployment's log; nothing happens on the second call."""
