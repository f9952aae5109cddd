"""What the rest of the platform does with logs: publish, read, tail, delete."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack
from typing import Self

from scalemesh.core.access import AccessBatch
from scalemesh.core.logs import LogLine
from scalemesh.logs.access.base import AccessArchive
from scalemesh.logs.access.retention import keep_days
from scalemesh.logs.archive.base import Archive
from scalemesh.logs.bus.base import Bus
from scalemesh.logs.hits import Found, find
from scalemesh.logs.pump import Pump
from scalemesh.logs.search import Search
from scalemesh.logs.tail import End, tail


class LogService:
    """Opens its bus and archive, and runs a pump between them unless another process does (`pump=False`).

    Access records are kept for `access_days`.
    """

    def __init__(self, bus: Bus, archive: Archive, *, pump: bool = True, access_days: int = 30) -> None:
        self._bus = bus
        self._archive = archive
        self._pumping = pump
        self._access_days = access_days
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._archive)
            await stack.enter_async_context(self._bus)
            if self._pumping:
                pump = Pump(self._bus, self._archive).run()
                stack.push_async_callback(_stop, asyncio.create_task(pump, name="pump"))
                retaining = keep_days(self._archive.access, self._access_days)
                stack.push_async_callback(_stop, asyncio.create_task(retaining, name="access retention"))
            self._open = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._open.aclose()

    async def publish(self, lines: Sequence[LogLine]) -> None:
        """Durable on return; the same numbers again count once.

        Raises Unavailable (publish them again) or InvalidInput.
        """
        await self._bus.publish(lines)

    async def publish_access(self, batches: Sequence[AccessBatch]) -> None:
        """Durable on return; the same batches again count once. Raises Unavailable or InvalidInput."""
        await asyncio.gather(*(self._bus.publish_access(batch) for batch in batches))

    @property
    def access(self) -> AccessArchive:
        """Where access records are read."""
        return self._archive.access

    async def read(self, deployment: str, after: int = -1, limit: int = 1000) -> list[LogLine]:
        """At most `limit` lines with `seq > after`, by seq; -1 is the start."""
        return await self._archive.read(deployment, after, limit)

    async def search(
        self,
        deployments: Sequence[str],
        search: Search,
        cursor: str | None = None,
        *,
        limit: int = 50,
        context: int = 0,
    ) -> Found:
        """A page of hits, deployments in the order given, each by seq; see logs.hits. Raises InvalidInput."""
        return await find(self._archive, deployments, search, cursor, limit=limit, context=context)

    def tail(self, deployment: str, after: int = -1, *, end: End, poll_s: float = 0.5) -> AsyncGenerator[LogLine, None]:
        """See logs.tail: every line once and in order, until `end` is reached.

        Leave it early only through `contextlib.aclosing`, which ends the subscription at once.
        """
        return tail(self._archive, self._bus, deployment, after, end=end, poll_s=poll_s, gap_s=self._bus.settled_s)

    async def count_set_aside(self) -> int:
        """See Bus.count_set_aside."""
        return await self._bus.count_set_aside()

    async def delete(self, deployment: str) -> None:
        """Forget a deployment's log; nothing happens on the second call."""
        await self._archive.delete(deployment)


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task], timeout=5)
