"""Wakeups across processes: PostgreSQL's LISTEN and NOTIFY behind the same port.

One connection of its own hears and tells. Told topics are gathered and sent outside of anybody's transaction, so they
come at the earliest with the commit that they are about, and cost it nothing. While the connection is down everybody
has the slow poll; when it is back every listener is woken once, for what it may have missed.
"""

import asyncio
import contextlib
from types import TracebackType
from typing import Any, Self

import structlog
from sqlalchemy import URL

from scalemesh.db.wakeup import Wakeup

_CHANNEL = "scalemesh"
_RETRY_S = 1.0
_CONNECT_S = 10.0
_MAX_PAYLOAD = 7000  # PostgreSQL's own limit is 8000 bytes
_TELL = "SELECT pg_notify($1, $2)"

log = structlog.get_logger(__name__)


class PostgresWakeup(Wakeup):
    """Opened once per process with `async with`; `notify` before and after that reaches this process alone."""

    def __init__(self, url: URL) -> None:
        super().__init__()
        self._dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._untold: dict[str, None] = {}
        self._something = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self._run(), name="wakeup")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])
            self._running = None

    def notify(self, *topics: str) -> None:
        super().notify(*topics)
        if self._running is not None:
            self._untold.update(dict.fromkeys(topics))
            self._something.set()

    async def _run(self) -> None:
        import asyncpg

        while True:
            try:
                await self._connected(await asyncpg.connect(self._dsn, timeout=_CONNECT_S, command_timeout=_CONNECT_S))
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                log.warning("wakeups of other processes are not heard", cause=repr(error))
            await asyncio.sleep(_RETRY_S)

    async def _connected(self, connection: Any) -> None:
        try:
            connection.add_termination_listener(lambda _: self._something.set())
            await connection.add_listener(_CHANNEL, self._heard)
            self.wake_all()
            await self._tell(connection)
        finally:
            with contextlib.suppress(Exception):  # it is as good as gone, and the next one is opened either way
                await connection.close(timeout=1)

    async def _tell(self, connection: Any) -> None:
        while not connection.is_closed():
            await self._something.wait()
            self._something.clear()
            while self._untold and not connection.is_closed():
                await connection.execute(_TELL, _CHANNEL, self._payload())

    def _payload(self) -> str:
        """As many topics as fit; what is lost with a broken connection is somebody's slow poll."""
        topics = [next(iter(self._untold))]
        self._untold.pop(topics[0])
        size = len(topics[0])
        for topic in list(self._untold):
            size += len(topic) + 1
            if size > _MAX_PAYLOAD:
                break
            self._untold.pop(topic)
            topics.append(topic)
        return "\n".join(topics)

    def _heard(self, connection: Any, pid: int, channel: str, payload: object) -> None:
        if pid != connection.get_server_pid():  # our own topics were heard here before they were told
            super().notify(*str(payload).split("\n"))
