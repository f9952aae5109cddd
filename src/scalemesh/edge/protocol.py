"""One connection: HTTP/1.1 over llhttp in strict mode (RFC 9112), answers in order, bounded memory, nothing forgiven.

What comes in is `intake`'s. A connection whose response waits, or whose reader is slow, is not read from. One that ends
although its client did not ask for it is read from a moment longer: closed over unread bytes it would be reset, and the
client might lose its answer (RFC 9112 §9.6).
"""

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import httptools

from scalemesh.core.access import Cache
from scalemesh.edge.access import clock_ns
from scalemesh.edge.filesender import FileSender
from scalemesh.edge.intake import Intake
from scalemesh.edge.parts import Part, PartAnswer
from scalemesh.edge.peers import peer_of, preface
from scalemesh.edge.request import MAX_HEADER_BYTES, MAX_REQUEST_BYTES, Refused, Request
from scalemesh.edge.responses import REFUSALS, FileSlice, Response
from scalemesh.edge.upstream.target import Proxied

if TYPE_CHECKING:
    from scalemesh.edge.upstream.exchange import Exchange
    from scalemesh.edge.worker import Worker

log = logging.getLogger(__name__)

REQUEST_S = 10  # from a request's first byte to its last
STALL_S = 60  # a response of which the client takes nothing
LINGER_S = 2  # reading on after the last answer, so that the client gets to see it
DRAIN_IDLE_S = 2
MAX_QUEUED = 256  # pipelined requests behind one that waits


class Connection(Intake, asyncio.Protocol):
    """`check` is called each second; everything else by the transport and by llhttp."""

    __slots__ = (
        "_born_at",
        "_busy",
        "_early",
        "_exchange",
        "_file",
        "_lingering",
        "_paused",
        "_peer",
        "_queue",
        "_reading",
        "_sender",
        "_started_at",
        "_task",
        "_transport",
        "_unsent",
        "_unsent_since",
    )

    _transport: asyncio.Transport

    def __init__(self, worker: "Worker") -> None:
        super().__init__(worker)
        self._queue: deque[Request | int] = deque()  # an int refuses, and ends the connection
        self._busy = False  # a response is under way that was not written at once
        self._paused = False  # the transport's buffer is full
        self._reading = True
        self._lingering = False
        self._task: asyncio.Task[None] | None = None
        self._sender: FileSender | None = None
        self._file: tuple[Request, Response, Cache] | None = None  # what `_sender` answers, and with what
        self._exchange: Exchange | PartAnswer | None = None
        self._born_at = worker.tick
        self._started_at = 0  # when the request that is coming in began; 0: none is
        self._unsent = 0  # when last looked at
        self._unsent_since = 0
        self._early: bytes | None = None  # of a proxy that may begin with a PROXY header, until that is decided
        self._peer = ""  # who such a header names

    # The transport calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._worker.connections.add(self)
        if self._worker.peers is not None and self._worker.peers.trusts(self.client()):
            self._introduced, self._early = True, b""

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._early is not None and not (data := self._without_preface(self._early + data)):
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
            if self._body is not None:
                self._break_off(_status_of(error))
            elif not self._deaf:
                self._refuse(_status_of(error))
        if self._completed:
            self._pending_bytes = self._started_at = self._repeats = 0
            if not self._target and self._request is None and self._body is None and not self._queue:
                return
        self._go_on_reading()

    def _go_on_reading(self) -> None:
        if not self._deaf and (not self._completed or self._target or self._request is not None):
            self._wait_for_more()  # for the rest of a request, which may have come together with a whole one
        if self._queue or self._body is not None:
            self._regulate()

    def _without_preface(self, data: bytes) -> bytes:
        """What follows a PROXY header, once it has come whole; a malformed one ends the connection."""
        try:
            found = preface(data)
        except ValueError:
            log.warning("a proxy sent a malformed PROXY header")
            self._deaf = True
            self._transport.abort()
            return b""
        if found is None:
            self._early = data
            self._started_at = self._started_at or self._worker.tick
            return b""
        self._early, self._started_at = None, 0
        self._peer, used = found
        return data[used:]

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
            self._note_file(self._sender.left)

    # llhttp's reports are Intake's; the rest is this class's own.

    def _introduce(self, request: Request) -> None:
        if self._worker.peers is not None:
            self._worker.peers.tell(request, self.client())

    def _take(self, request: Request) -> None:
        request.began = clock_ns()
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

    def _wait_for_more(self) -> None:
        if self._body is not None:
            if self._pending_bytes > MAX_HEADER_BYTES:
                self._break_off(431)  # chunk extensions or trailers; for the rest the exchange has its own limits
            return
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

    def _break_off(self, status: int) -> None:
        """Half a body is with an upstream, which must not take it for a whole one."""
        self._deaf = True
        if self._body is not None:
            self._body.break_off(status)

    def _write_refusal(self, status: int) -> None:
        self._transport.write(REFUSALS[status].full(self._worker.lines.close[status]))
        self._linger()

    def _handle(self, request: Request) -> None:
        answer = self._worker.serving.answer(request)
        if type(answer) is Response:
            self._send(request, answer, "hit")
        elif type(answer) is Proxied or type(answer) is Part:
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
        self._send(request, response, "miss")
        self._go_on()

    def _pass_on(self, request: Request, asked: Proxied | Part) -> None:
        self._busy = True
        self._exchange = self._worker.exchange(request, asked, self._transport)
        self._task = self._worker.loop.create_task(self._exchanged(request, self._exchange))

    async def _exchanged(self, request: Request, exchange: "Exchange | PartAnswer") -> None:
        response = None
        try:
            response = await exchange.answer()
        finally:
            if response is None or exchange.broken:
                self._worker.access.add(request, exchange.status, exchange.sent, exchange.cache, self)
        self._task = self._exchange = None
        self._busy = False
        if exchange.broken:
            self._transport.abort()
        elif response is not None:
            self._send(request, response, exchange.cache)
        elif exchange.closes:
            self._deaf = True
            self._queue.clear()
            self._end()
        self._go_on()

    def _end(self) -> None:
        """Close once all is written; where more may come in, let the client see its answer first."""
        if self._body is None and self._left > 0 and not self._worker.draining:
            self._transport.close()
        elif not self._transport.is_closing():
            self._body = None
            self._regulate()
            self._linger()

    def _linger(self) -> None:
        self._transport.write_eof()
        self._lingering = True
        self._active_at = self._worker.tick

    def _send(self, request: Request, response: Response, cache: Cache) -> None:
        worker = self._worker
        if not request.plain or worker.draining or response.file is not None:
            self._send_otherwise(request, response, cache)
            return
        if response.dated is not worker.lines.date:
            response.date(worker.lines.date)
        self._transport.write(response.wire)
        worker.access.add(request, response.status, response.size, cache, self)

    def _send_otherwise(self, request: Request, response: Response, cache: Cache) -> None:
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
        bodiless = request.method == b"HEAD"
        if response.file is not None and not bodiless:
            self._file = (request, response, cache)
            self._send_file(line + response.head, response.file)
            return
        self._transport.write(line + response.head if bodiless else response.full(line))
        worker.access.add(request, response.status, 0 if bodiless else response.size, cache, self)
        if self._deaf and not self._queue:
            self._end()

    def _send_file(self, head: bytes, file: FileSlice) -> None:
        self._busy = True
        self._sender = FileSender(self._worker.loop, self._transport, head, file, self._file_sent)
        self._sender.start()

    def _file_sent(self, *, whole: bool) -> None:
        if self._sender is not None:
            self._note_file(self._sender.left)
        self._sender = None
        self._busy = False
        if not whole:
            self._transport.abort()
        else:
            self._go_on()

    def _note_file(self, left: int) -> None:
        if self._file is not None and self._file[1].file is not None:
            request, response, cache = self._file
            self._worker.access.add(request, response.status, self._file[1].file.length - left, cache, self)
        self._file = None

    def client(self) -> str:
        if self._peer:
            return self._peer
        return peer_of(self._transport)

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
            self._end()
        elif not self._reading:
            self._reading = True
            self._transport.resume_reading()

    def check(self, tick: int) -> None:
        """Enforce the deadlines; called about once a second."""
        if tick - self._born_at > self._worker.keep_alive.life_s:
            self._left = min(self._left, 1)
        unsent = self._transport.get_write_buffer_size() + (self._sender.left if self._sender else 0)
        if unsent != self._unsent:
            self._unsent, self._unsent_since = unsent, tick
        if unsent:
            if tick - self._unsent_since > STALL_S:
                self._transport.abort()
        elif self._lingering:
            if tick - self._active_at > LINGER_S:
                self._transport.abort()
        elif self._busy:
            return
        elif self._started_at:
            if tick - self._started_at > REQUEST_S:
                self._refuse(408)
        elif tick - self._active_at > self._worker.keep_alive.idle_s:
            self._transport.close()

    def drain(self, tick: int) -> None:
        """Close once idle for a moment: a request may be on its way. The next response closes by itself."""
        idle = not (self._busy or self._paused or self._queue)
        if idle and tick - max(self._active_at, self._started_at) >= DRAIN_IDLE_S:
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
