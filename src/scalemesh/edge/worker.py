"""A worker process: accepts, ticks once a second, drains on demand. The composition is in main.edge_worker."""

import asyncio
import logging
import math
import socket
from typing import TYPE_CHECKING

from scalemesh.edge.access import Access
from scalemesh.edge.fleet import KeepAlive
from scalemesh.edge.listeners import BACKLOG
from scalemesh.edge.parts import Part, PartAnswer, PartReader
from scalemesh.edge.peers import Peers
from scalemesh.edge.protocol import Connection
from scalemesh.edge.request import Request
from scalemesh.edge.responses import StatusLines
from scalemesh.edge.serving import Serving
from scalemesh.edge.upstream.target import Proxied, ProxyLimits

if TYPE_CHECKING:
    from scalemesh.edge.upstream.exchange import Exchange
    from scalemesh.edge.upstream.pools import Pools

log = logging.getLogger(__name__)

_TICK_S = 1.0


class Ending:
    """When a worker ends, at the latest; that may only come nearer."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.at = math.inf

    def within(self, grace_s: float) -> None:
        self.at = min(self.at, asyncio.get_running_loop().time() + grace_s)
        self.begun.set()


class Worker:
    """What connections share. `tick` counts seconds from 1; while `draining`, each response ends its connection."""

    def __init__(
        self,
        serving: Serving,
        parts: PartReader,
        proxy: ProxyLimits,
        access: Access,
        keep_alive: KeepAlive,
        peers: Peers | None = None,
    ) -> None:
        self.serving = serving
        self.keep_alive = keep_alive
        self.peers = peers
        self._parts = parts
        self.access = access
        self._proxy = proxy
        self._pools: Pools | None = None
        self.loop = asyncio.get_running_loop()
        self.lines = StatusLines()
        self.connections: set[Connection] = set()
        self.draining = False
        self.tick = 1
        self._servers: list[asyncio.Server] = []
        self._timer: asyncio.TimerHandle | None = None

    def exchange(
        self, request: Request, asked: Proxied | Part, transport: asyncio.Transport
    ) -> "Exchange | PartAnswer":
        """What passes the request on; the first one to another site loads the HTTP client."""
        if isinstance(asked, Part):
            close = self.draining or not request.keep_alive
            lines = self.lines.close if close else self.lines.keep10 if request.http10 else self.lines.keep
            return PartAnswer(self._parts, asked, lines[206], transport, close=close)
        from scalemesh.edge.upstream.exchange import Exchange
        from scalemesh.edge.upstream.pools import Pools

        if self._pools is None:
            self._pools = Pools(self._proxy)
        return Exchange(self._pools, request, asked, transport, close=self.draining)

    async def start(self, listener: socket.socket) -> None:
        create = self.loop.create_unix_server if listener.family == socket.AF_UNIX else self.loop.create_server
        self._servers.append(await create(lambda: Connection(self), sock=listener, backlog=BACKLOG))

    def tick_on(self) -> None:
        """Begin to keep time; `drain` ends it."""
        self._timer = self.loop.call_later(_TICK_S, self._on_tick)

    def _on_tick(self) -> None:
        self._timer = self.loop.call_later(_TICK_S, self._on_tick)
        self.tick += 1
        self.lines.refresh()
        self.access.flush()
        for connection in list(self.connections):
            connection.check(self.tick)

    async def drain(self, ending: Ending) -> None:
        """Stop accepting; let responses under way finish as long as they may; close what is left. Idempotent.

        The listening socket's queue is not lost: the keeper holds the socket, too, for the next worker.
        """
        self.draining = True
        for server in self._servers:
            server.close()
        while self.connections and self.loop.time() < ending.at:
            for connection in list(self.connections):
                connection.drain(self.tick)
            await asyncio.sleep(0.02)
        for connection in list(self.connections):
            connection.abort()
        if self._timer is not None:
            self._timer.cancel()
        self.access.flush()
