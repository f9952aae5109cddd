"""Connections to upstreams: kept for a while, never shared between teams, each to an address that the guard allows."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import httpcore

from scalemesh.edge.upstream.failures import BUSY, Refusal
from scalemesh.edge.upstream.target import ProxyLimits
from scalemesh.egress.connect import GuardedBackend
from scalemesh.egress.guard import Guard

KEPT = 8  # idle connections of one team
KEEP_S = 20.0


class _Team:
    def __init__(self, pool: httpcore.AsyncConnectionPool) -> None:
        self.pool = pool
        self.busy = 0
        self.closing: asyncio.TimerHandle | None = None


class Pools:
    """One per worker. A team that asks for nothing for KEEP_S costs nothing."""

    def __init__(self, limits: ProxyLimits, guard: Guard | None = None) -> None:
        self.limits = limits
        allowing = "SCALEMESH_EDGE_PROXY_ALLOW"
        self._guard = guard or Guard(limits.allow, registries=(), setting=allowing)
        self._tls: ssl.SSLContext | None = None
        self._teams: dict[str, _Team] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def of(self, name: str) -> AsyncIterator[httpcore.AsyncConnectionPool]:
        """For one request. Raises Refusal where the team has as many under way as it may."""
        if self._tls is None:
            self._tls = await asyncio.to_thread(ssl.create_default_context)
        team = self._teams.get(name) or self._teams.setdefault(name, self._opened(self._tls))
        if team.busy >= self.limits.concurrency:
            raise Refusal(BUSY)
        team.busy += 1
        if team.closing is not None:
            team.closing.cancel()
            team.closing = None
        try:
            yield team.pool
        finally:
            team.busy -= 1
            if not team.busy:
                team.closing = asyncio.get_running_loop().call_later(KEEP_S, self._close, name)

    def _opened(self, tls: ssl.SSLContext) -> _Team:
        return _Team(
            httpcore.AsyncConnectionPool(
                ssl_context=tls,
                max_connections=self.limits.concurrency,
                max_keepalive_connections=KEPT,
                keepalive_expiry=KEEP_S,
                network_backend=GuardedBackend(self._guard),
            )
        )

    async def close(self, response: httpcore.Response) -> None:
        """To its end, also where the client goes meanwhile: half closed, a connection would count as busy for ever."""
        await asyncio.shield(self._in_background(response.aclose()))

    def _close(self, name: str) -> None:
        self._in_background(self._teams.pop(name).pool.aclose())

    def _in_background(self, closing: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(closing)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
