"""One request to an upstream and its answer, streamed; or, after `101 Switching Protocols`, bytes both ways."""

import asyncio
import logging
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpcore

from scalemesh.core.access import Cache
from scalemesh.edge.access import clock_ns
from scalemesh.edge.peers import peer_of
from scalemesh.edge.request import Request
from scalemesh.edge.responses import CLIENT_LEFT, REFUSALS, Response
from scalemesh.edge.upstream import failures, fields
from scalemesh.edge.upstream.failures import Refusal
from scalemesh.edge.upstream.incoming import BrokenOff
from scalemesh.edge.upstream.pools import Pools
from scalemesh.edge.upstream.target import Proxied
from scalemesh.egress.connect import at_most

log = logging.getLogger(__name__)

CONNECT_S = 10.0
CLIENT_IDLE_S = 30.0  # without a byte of the body
_TUNNEL_READ_BYTES = 64 * 1024
_SMALL_BYTES = 512
_HEAD_BYTES = 256 * 1024  # until an answer has begun: interim ones (1xx) before it have no end of their own
_SAFE = frozenset({b"GET", b"HEAD", b"OPTIONS"})
_LOST = (httpcore.RemoteProtocolError, httpcore.ReadError, httpcore.WriteError)


class Exchange:
    """`answer` runs once. The connection clears `room` while its transport takes no more, and cancels when the client
    goes; then the upstream's connection is closed, too. `closes`: what was written ends the connection. `broken`: an
    answer had begun and cannot be finished, which the client must see. `status` and `sent` (bytes of the body) tell
    what was written."""

    cache: Cache = "upstream"

    def __init__(
        self, pools: Pools, request: Request, asked: Proxied, transport: asyncio.Transport, *, close: bool
    ) -> None:
        self._pools = pools
        self._limits = pools.limits
        self._request = request
        self._asked = asked
        self._transport = transport
        self.room = asyncio.Event()
        self.room.set()
        self._begun = False
        self.status = CLIENT_LEFT
        self.sent = 0
        self.broken = False
        self.closes = close or not request.keep_alive

    async def answer(self) -> Response | None:
        """A page of our own where the upstream gives no answer; None once its answer has been written."""
        try:
            if fields.hops(self._request) >= fields.MAX_HOPS:
                raise Refusal(failures.LOOP)
            self._check_body()
            async with self._pools.of(self._asked.team) as pool:
                await self._pass_on(pool)
        except failures.EXPECTED as error:
            log.info("upstream failed team=%s host=%s: %r", self._asked.team, urlsplit(self._asked.url).netloc, error)
            page = failures.page(error)
        except Exception:
            log.exception("passing on failed team=%s", self._asked.team)
            page = REFUSALS[500]
        else:
            return None
        self.broken = self._begun
        return page

    def _check_body(self) -> None:
        headers = self._request.headers
        if self._request.upgrade and (headers.get(b"content-length", b"0") != b"0" or b"transfer-encoding" in headers):
            raise Refusal(failures.BODY_AND_UPGRADE)
        if int(headers.get(b"content-length", b"0")) > self._limits.request_bytes:
            raise Refusal(failures.TOO_LARGE)

    async def _pass_on(self, pool: httpcore.AsyncConnectionPool) -> None:
        try:
            response = await self._ask(pool)
        except _LOST:
            if self._request.method not in _SAFE or self._request.body is not None:
                raise
            response = await self._ask(pool)  # a kept connection may end, or be spoilt, just when it is used again
        try:
            if response.status == 101:
                await self._tunnel(response)
            else:
                await self._pass_back(response)
        finally:
            await self._pools.close(response)

    async def _ask(self, pool: httpcore.AsyncConnectionPool) -> httpcore.Response:
        async with asyncio.timeout(self._limits.timeout_s) as deadline:
            with at_most(_HEAD_BYTES):
                response = await pool.handle_async_request(self._upstream_request(deadline))
        if not response.extensions["network_stream"].get_extra_info("answered"):
            await self._pools.close(response)
            raise httpcore.RemoteProtocolError("The answer was there before its request.")
        return response

    def _upstream_request(self, deadline: asyncio.Timeout) -> httpcore.Request:
        address = urlsplit(self._asked.url)
        authority = (address.hostname or "") + (f":{address.port}" if address.port else "")
        target = (address.path or "/") + (f"?{address.query}" if address.query else "")
        client = self._request.client or peer_of(self._transport) or "unknown"
        wait = self._limits.timeout_s
        return httpcore.Request(
            self._request.method,
            httpcore.URL(scheme=address.scheme, host=address.hostname or "", port=address.port, target=target.encode()),
            headers=fields.to_upstream(self._request, self._asked, authority.encode(), client),
            content=self._body(deadline),
            extensions={"timeout": {"connect": CONNECT_S, "read": wait, "write": wait, "pool": CONNECT_S}},
        )

    async def _body(self, deadline: asyncio.Timeout) -> AsyncIterator[bytes]:
        """Begins when the upstream is there: only then is a client that expects it told to go on."""
        body = self._request.body
        if body is None or self._request.is_websocket:
            return
        waits = b"expect" in self._request.headers and not self._request.http10
        if waits and not body.total and not body.complete:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while True:
            deadline.reschedule(None)
            try:
                async with asyncio.timeout(CLIENT_IDLE_S):
                    data = await body.read()
            except TimeoutError:
                raise Refusal(failures.CLIENT_STALLED) from None
            except BrokenOff as broken:
                raise Refusal(REFUSALS[broken.status]) from None
            deadline.reschedule(asyncio.get_running_loop().time() + self._limits.timeout_s)
            if not data:
                return
            if body.total > self._limits.request_bytes:
                raise Refusal(failures.TOO_LARGE)
            yield data

    async def _pass_back(self, response: httpcore.Response) -> None:
        if not 200 <= response.status <= 599 or not fields.are_clean(response.headers):
            raise Refusal(failures.BAD_ANSWER)
        body = self._request.body
        close = self.closes or (body is not None and not body.complete)
        head = fields.Head(self._request, self._asked, response.status, response.headers, close=close)
        if (head.length or 0) > self._limits.response_bytes and self._request.method != b"HEAD":
            raise Refusal(failures.TOO_LARGE_ANSWER)
        self.closes = head.closes
        self._begin(head.raw, response.status)
        async for data in response.aiter_stream():
            self.sent += len(data)
            if self.sent > self._limits.response_bytes:
                raise Refusal(failures.TOO_LARGE_ANSWER)
            self._transport.writelines((b"%x\r\n" % len(data), data, b"\r\n") if head.chunked else (data,))
            await self.room.wait()
            if len(data) < _SMALL_BYTES:
                await asyncio.sleep(0)  # one read can hold thousands of these, and others wait for their turn
        if head.chunked:
            self._transport.write(b"0\r\n\r\n")

    def _begin(self, head: bytes, status: int) -> None:
        self._begun = True
        self.status = status
        self._transport.write(head)

    async def _tunnel(self, response: httpcore.Response) -> None:
        """Until one side ends, or both are silent for as long as an upstream may be."""
        if not fields.switches(response.headers) or not fields.are_clean(response.headers):
            raise Refusal(failures.BAD_ANSWER)
        self._begin(fields.switching(self._asked, response.headers), response.status)
        self.closes = True
        began = clock_ns()
        stream: httpcore.AsyncNetworkStream = response.extensions["network_stream"]
        async with asyncio.timeout(self._limits.timeout_s) as deadline:
            ways = [asyncio.create_task(way(stream, deadline)) for way in (self._up, self._down)]
            try:
                done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                self._request.began += clock_ns() - began  # the answer was the switch, not what followed
                await asyncio.gather(*ways, return_exceptions=True)
        for ended in done:
            ended.result()

    async def _up(self, stream: httpcore.AsyncNetworkStream, deadline: asyncio.Timeout) -> None:
        body = self._request.body
        while body is not None and (data := await body.read()):
            self._spend(body.total, self._limits.request_bytes, deadline)
            await stream.write(data)

    async def _down(self, stream: httpcore.AsyncNetworkStream, deadline: asyncio.Timeout) -> None:
        while data := await stream.read(_TUNNEL_READ_BYTES):
            self.sent += len(data)
            self._spend(self.sent, self._limits.response_bytes, deadline)
            self._transport.write(data)
            await self.room.wait()

    def _spend(self, total: int, limit: int, deadline: asyncio.Timeout) -> None:
        if total > limit:
            raise Refusal(failures.TOO_LARGE_ANSWER)
        deadline.reschedule(asyncio.get_running_loop().time() + self._limits.timeout_s)
