"""One connection: HTTP/1.1 over llhttp in strict mode (RFC 9112), answers in order, bounded memory, nothing forgiven.

llhttp refuses two lengths at once, folded lines, bare CR or LF, and bytes after `Connection: close`. Refused here on
top: repeated Host, transfer codings in HTTP/1.0 or other than `chunked`, HTTP/0.9 and 2.0, sizes over the limits.
Trailers are dropped. A connection whose response waits, or whose reader is slow, is not read from. A body is thrown
away, unless another site is to answer: then it is handed on as it comes in, and read no faster than it goes out.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import httptools

from scalemesh.edge.filesender import FileSender
from scalemesh.edge.request import (
    MAX_BODY_BYTES,
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    MAX_REQUEST_BYTES,
    MAX_TARGET_BYTES,
    Refused,
    Request,
)
from scalemesh.edge.responses import REFUSALS, FileSlice, Response
from scalemesh.edge.upstream.incoming import Incoming
from scalemesh.edge.upstream.target import Proxied

if TYPE_CHECKING:
    from scalemesh.edge.upstream.exchange import Exchange
    from scalemesh.edge.worker import Worker

log = logging.getLogger(__name__)

IDLE_S = 75  # between requests
REQUEST_S = 10  # from a request's first byte to its last
STALL_S = 60  # a response of which the client takes nothing
LINGER_S = 2  # reading on after a refusal, so that the client gets to see it
DRAIN_IDLE_S = 2
MAX_QUEUED = 256  # pipelined requests behind one that waits
_SLASH = ord("/")
_JOIN_BYTES = 32 * 1024  # up to here one copy is cheaper than a second buffer


class Connection(asyncio.Protocol):
    """`check` is called each second; everything else by the transport and by llhttp."""

    __slots__ = (
        "_active_at",
        "_body",
        "_body_bytes",
        "_busy",
        "_completed",
        "_deaf",
        "_exchange",
        "_headers",
        "_lingering",
        "_parser",
        "_paused",
        "_pending_bytes",
        "_progress",
        "_progress_at",
        "_queue",
        "_reading",
        "_repeats",
        "_request",
        "_sender",
        "_started_at",
        "_target",
        "_task",
        "_transport",
        "_tunnelling",
        "_worker",
    )

    _transport: asyncio.Transport

    def __init__(self, worker: "Worker") -> None:
        self._worker = worker
        self._parser: Any = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: Incoming | None = None  # of a request that is already passed on, while it comes in
        self._tunnelling = False  # what comes in is no longer HTTP: all of it is the body
        self._body_bytes = 0
        self._pending_bytes = 0  # since the last request was complete, those under way now included
        self._repeats = 0  # of header names
        self._request: Request | None = None  # its body comes in chunks
        self._completed = False
        self._queue: deque[Request | int] = deque()  # an int refuses, and ends the connection
        self._busy = False  # a response is under way that was not written at once
        self._paused = False  # the transport's buffer is full
        self._reading = True
        self._deaf = False  # nothing that still comes in is looked at
        self._lingering = False
        self._task: asyncio.Task[None] | None = None
        self._sender: FileSender | None = None
        self._exchange: Exchange | None = None
        self._active_at = worker.tick
        self._started_at = 0  # when the request that is coming in began; 0: none is
        self._progress = 0
        self._progress_at = 0

    # The transport calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._worker.connections.add(self)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._tunnelling and self._body is not None:
            self._body.feed(data)
            self._regulate()
            return
        self._completed = False
        self._pending_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if self._tunnelling and self._body is not None:
                self._body.feed(data[upgrade.args[0] :])
            else:
                self._deaf = True  # answered as if no upgrade was asked for; what follows is not HTTP/1.1
        except httptools.HttpParserError as error:
            if not self._deaf:
                self._refuse(_status_of(error))
        if self._completed:
            self._pending_bytes = self._started_at = self._repeats = 0
        elif not self._deaf:
            self._wait_for_more()
        if self._queue or self._body is not None:
            self._regulate()

    def eof_received(self) -> bool:
        """True: the client has stopped sending but may still wait for its answers; not for another site's, which costs
        a connection there: it counts as gone."""
        self._deaf = True
        if self._exchange is not None:
            return False
        return self._busy or self._paused or bool(self._queue)

    def pause_writing(self) -> None:
        self._paused = True
        if self._exchange is not None:
            self._exchange.room.clear()

    def resume_writing(self) -> None:
        self._paused = False
        if self._sender is not None:
            self._sender.start()
        elif self._exchange is not None:
            self._exchange.room.set()
        elif not self._busy:
            self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self._worker.connections.discard(self)
        self._deaf = True
        self._queue.clear()
        self._parser = self._request = self._body = None  # they hold this object: without the cycle all go at once
        if self._task is not None:
            self._task.cancel()
        if self._sender is not None:
            self._sender.abandon()

    # llhttp calls these; what they raise ends the connection with a refusal.

    def on_url(self, part: bytes) -> None:
        self._target += part
        if len(self._target) > MAX_TARGET_BYTES:
            raise Refused(414)

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in self._headers:
            self._repeat(name, value)
        else:
            self._headers[name] = value

    def on_headers_complete(self) -> None:
        if b"content-length" in self._headers or b"transfer-encoding" in self._headers:
            self._expect_body()

    def on_body(self, data: bytes) -> None:
        if self._body is not None:
            self._body.feed(data)
            return
        self._body_bytes += len(data)
        if self._body_bytes > MAX_BODY_BYTES:
            raise Refused(413)

    def on_message_complete(self) -> None:
        if self._deaf:
            return
        request = self._request or self._take_head()
        self._completed = True
        self._active_at = self._worker.tick
        passed_on = self._body is not None
        if self._body is not None:
            self._body.end()
            self._body = None
        if self._request is not None or self._body_bytes:
            self._request = None
            self._body_bytes = 0
            self._headers = {}  # trailers
        if request.is_websocket and self._worker.serving.proxies(request):
            self._body = request.body = Incoming(self._regulate)
            self._tunnelling = True
        elif not request.keep_alive:
            self._deaf = True
        if not passed_on:
            self._take(request)

    # The rest is this class's own.

    def _take_head(self) -> Request:
        """The request whose head has come in whole; what llhttp reports from here on belongs to its body."""
        parser, headers, target, query = self._parser, self._headers, self._target, b""
        if len(headers) > MAX_HEADERS or self._pending_bytes > MAX_HEADER_BYTES:
            self._check_size()
        self._headers = {}
        self._target = b""
        if b"?" in target:
            target, _, query = target.partition(b"?")
        host = headers.get(b"host", b"")
        request = Request(parser.get_method(), target, query, headers, host, parser.should_keep_alive())
        if b"connection" in headers or not request.keep_alive:
            request.check_version(parser.get_http_version())
            if parser.should_upgrade():
                request.keep_alive = False
                request.upgrade = True
        if not host or target[0] != _SLASH:
            request.check_target()
        return request

    def _expect_body(self) -> None:
        request = self._request = self._take_head()
        if b"transfer-encoding" in request.headers:
            request.check_coding()
        if not self._deaf and not request.upgrade and self._worker.serving.proxies(request):
            self._body = request.body = Incoming(self._regulate)
            self._take(request)

    def _take(self, request: Request) -> None:
        if self._busy or self._paused or self._queue:
            self._enqueue(request)
        else:
            self._handle(request)

    def _regulate(self) -> None:
        """Read while there is room for more requests, and for more of the body that is coming in."""
        wanted = not self._queue and (self._body is None or not self._body.full)
        if wanted != self._reading and not self._transport.is_closing():
            self._reading = wanted
            (self._transport.resume_reading if wanted else self._transport.pause_reading)()

    def _repeat(self, name: bytes, value: bytes) -> None:
        self._repeats += 1
        if name == b"host":
            raise Refused(400)
        if self._repeats > MAX_HEADERS:
            raise Refused(431)
        self._headers[name] += b", " + value

    def _check_size(self) -> None:
        size = sum(map(len, self._headers)) + sum(map(len, self._headers.values()))
        if len(self._headers) + self._repeats > MAX_HEADERS or size > MAX_HEADER_BYTES:
            raise Refused(431)

    def _wait_for_more(self) -> None:
        if self._body is not None:
            self._pending_bytes = 0
            return  # the exchange has its own limits
        self._started_at = self._started_at or self._worker.tick
        if self._pending_bytes > MAX_REQUEST_BYTES:
            self._refuse(431)
        elif b"expect" in (self._request.headers if self._request is not None else self._headers):
            self._refuse(417)  # no request's body is wanted here: the client need not send it

    def _enqueue(self, item: Request | int) -> None:
        self._queue.append(item)
        if len(self._queue) >= MAX_QUEUED:
            self._deaf = True

    def _refuse(self, status: int) -> None:
        self._deaf = True
        if self._busy or self._paused or self._queue:
            self._enqueue(status)
        else:
            self._write_refusal(status)

    def _write_refusal(self, status: int) -> None:
        self._transport.write(self._worker.lines.close[status] + REFUSALS[status].full)
        self._linger()

    def _handle(self, request: Request) -> None:
        answer = self._worker.serving.answer(request)
        if type(answer) is Response:
            self._send(request, answer)
        elif type(answer) is Proxied:
            self._pass_on(request, answer)
        else:
            self._busy = True
            self._task = self._worker.loop.create_task(self._handle_later(request, answer))  # type: ignore[arg-type]

    async def _handle_later(self, request: Request, answer: Coroutine[Any, Any, Response]) -> None:
        try:
            response = await answer
        except Exception:
            log.exception("answering failed target=%r", request.target)
            response = REFUSALS[500]
        self._task = None
        self._busy = False
        self._send(request, response)
        self._go_on()

    def _pass_on(self, request: Request, asked: Proxied) -> None:
        self._busy = True
        self._exchange = self._worker.exchange(request, asked, self._transport)
        self._task = self._worker.loop.create_task(self._exchanged(request, self._exchange))

    async def _exchanged(self, request: Request, exchange: "Exchange") -> None:
        response = await exchange.answer()
        self._task = self._exchange = None
        self._busy = False
        if exchange.broken:
            self._transport.abort()
        elif response is not None:
            self._send(request, response)
        elif exchange.closes:
            self._deaf = True
            self._queue.clear()
            self._end()
        self._go_on()

    def _end(self) -> None:
        """Close once all is written; where a body still comes in, let the client see its answer first."""
        if self._body is None:
            self._transport.close()
        elif not self._transport.is_closing():
            self._body = None
            self._regulate()
            self._linger()

    def _linger(self) -> None:
        self._transport.write_eof()
        self._lingering = True
        self._active_at = self._worker.tick

    def _send(self, request: Request, response: Response) -> None:
        worker = self._worker
        unfinished = request.body is not None and not request.body.complete
        if not request.keep_alive or worker.draining or unfinished:
            self._deaf = True
            self._queue.clear()
            line = worker.lines.close[response.status]
        elif request.http10:
            line = worker.lines.keep10[response.status]
        else:
            line = worker.lines.keep[response.status]
        if request.method == b"HEAD":
            self._transport.write(line + response.head)
        elif response.file is not None:
            self._send_file(line + response.head, response.file)
            return
        elif len(response.full) <= _JOIN_BYTES:
            self._transport.write(line + response.full)
        else:
            self._transport.writelines((line, response.full))
        if self._deaf and not self._queue:
            self._end()

    def _send_file(self, head: bytes, file: FileSlice) -> None:
        self._busy = True
        self._sender = FileSender(self._worker.loop, self._transport, head, file, self._file_sent)
        self._sender.start()

    def _file_sent(self, *, whole: bool) -> None:
        self._sender = None
        self._busy = False
        if not whole:
            self._transport.abort()
        else:
            self._go_on()

    def _go_on(self) -> None:
        """What was queued, in order; then read again, or end."""
        while self._queue and not self._busy and not self._paused and not self._transport.is_closing():
            item = self._queue.popleft()
            if isinstance(item, int):
                self._write_refusal(item)
            else:
                self._handle(item)
        if self._body is not None:
            self._regulate()
        if self._queue or self._busy or self._paused or self._lingering:
            return
        if self._deaf:
            self._transport.close()
        elif not self._reading:
            self._reading = True
            self._transport.resume_reading()

    def check(self, tick: int) -> None:
        """Enforce the deadlines; called about once a second."""
        if self._lingering:
            if tick - self._active_at > LINGER_S:
                self._transport.abort()
        elif self._paused or self._sender is not None:
            self._check_progress(tick)
        elif self._busy:
            return
        elif self._started_at:
            if tick - self._started_at > REQUEST_S:
                self._refuse(408)
        elif tick - self._active_at > IDLE_S:
            self._transport.close()

    def _check_progress(self, tick: int) -> None:
        left = self._transport.get_write_buffer_size() + (self._sender.left if self._sender else 0)
        if left != self._progress:
            self._progress, self._progress_at = left, tick
        elif tick - self._progress_at > STALL_S:
            self._transport.abort()

    def drain(self, tick: int) -> None:
        """Close once idle for a moment: a request may be on its way. The next response closes by itself."""
        idle = not (self._busy or self._paused or self._queue or self._started_at)
        if idle and tick - self._active_at >= DRAIN_IDLE_S:
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()


def _status_of(error: httptools.HttpParserError) -> int:
    if not isinstance(error, httptools.HttpParserCallbackError):
        return 400
    cause = error.__context__
    if isinstance(cause, Refused):
        return cause.status
    log.error("answering failed", exc_info=cause)
    return 500
