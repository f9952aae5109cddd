"""Wakeups: a hint that something has changed, so that nobody polls fast.

Topics: `queue` (something may be claimed), `attempts` (one has ended, or is to), `routes`, `edges`, `deployment:<id>`.

A hint may be missed (another process, a crash), so behind every wait stands a slow poll: that is its timeout.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext, suppress

from sqlalchemy import URL


class Listener:
    """Hears every notify since it was made; `wait` consumes what it has heard."""

    def __init__(self) -> None:
        self.heard = asyncio.Event()

    async def wait(self, timeout_s: float) -> bool:
        """True as soon as the topic was notified, False after `timeout_s`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self.heard.wait()
        told = self.heard.is_set()
        self.heard.clear()
        return told


class Wakeup:
    """Within one process and one event loop; `PostgresWakeup` reaches other processes, too."""

    def __init__(self) -> None:
        self._listeners: defaultdict[str, set[Listener]] = defaultdict(set)

    def notify(self, *topics: str) -> None:
        for topic in topics:
            for listener in self._listeners.get(topic, ()):
                listener.heard.set()

    def wake_all(self) -> None:
        Wakeup.notify(self, *self._listeners)

    @contextmanager
    def listen(self, topic: str) -> Iterator[Listener]:
        """Listen first, then look at the database, then wait: no notify falls between."""
        listener = Listener()
        self._listeners[topic].add(listener)
        try:
            yield listener
        finally:
            self._listeners[topic].discard(listener)
            if not self._listeners[topic]:
                del self._listeners[topic]

    async def wait(self, topic: str, timeout_s: float) -> bool:
        """For a caller that looks at the database after every wait anyway."""
        with self.listen(topic) as listener:
            return await listener.wait(timeout_s)


def open_wakeup(url: URL) -> AbstractAsyncContextManager[Wakeup]:
    """The one that reaches every process of this database: SQLite's are on one machine, and `up` runs one."""
    if url.get_backend_name() != "postgresql":
        return nullcontext(Wakeup())
    from scalemesh.db.notify import PostgresWakeup

    return PostgresWakeup(url)
