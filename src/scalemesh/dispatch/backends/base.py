"""The port: what a dispatcher asks of a place where builds run."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from scalemesh.core.build import CacheScope, Limits

Handle = dict[str, Any]


@dataclass(frozen=True)
class Launch:
    """One attempt. `token` opens it at the API; a backend hands it to the agent alone. `caches` None: it has none."""

    attempt: str
    deployment: str
    number: int
    token: str
    limits: Limits
    caches: CacheScope | None = None


@dataclass(frozen=True)
class Ended:
    """Why there is no agent any more. `infrastructure` faults are tried again; the others are the build's own end."""

    code: str = "build_server_died"
    message: str = "The build server died."
    infrastructure: bool = True


@dataclass(frozen=True)
class Status:
    """Of an agent that is not running any more: how it ended, and for the operator's log a `detail`."""

    running: bool
    detail: str = ""
    ended: Ended = Ended()


class Backend(ABC):
    """Every method may be repeated, also by another process after a crash: attempts are known by their id."""

    name: ClassVar[str]
    shared: ClassVar[bool] = False  # all dispatchers see the same place, and each other's builds in it

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    @abstractmethod
    async def launch(self, launch: Launch) -> Handle:
        """Start the attempt's build server, or find it started. Raises InfrastructureFault, BadSettings."""

    @abstractmethod
    async def poll(self, attempt: str, handle: Handle | None) -> Status:
        """Whether it still runs. `handle` is what `launch` answered, from JSON; None when it was lost in a crash."""

    @abstractmethod
    async def stop(self, attempt: str, handle: Handle | None, keep: CacheScope | None = None) -> None:
        """When this returns nothing of it is left: no process, mount, cgroup or file. Fine when it is gone.

        `keep`, of a build that succeeded: whose caches its own become.
        """

    @abstractmethod
    async def existing(self) -> set[str]:
        """The attempts of which something is left here, for a sweep."""
