"""Requests as llhttp reports them, in strict mode, and what is refused on top.

llhttp refuses two lengths at once, folded lines, bare CR or LF, and bytes after `Connection: close`. Refused here:
repeated Host, transfer codings in HTTP/1.0 or other than `chunked`, HTTP/0.9 and 2.0, fragments, sizes over the limits.
Trailers are dropped. A body is thrown away, unless another site is to answer: then it is handed on as it comes in, and
read no faster than it goes out.
"""

from typing import TYPE_CHECKING, Any

import httptools

from scalemesh.edge.request import MAX_BODY_BYTES, MAX_HEADER_BYTES, MAX_HEADERS, MAX_TARGET_BYTES, Refused, Request
from scalemesh.edge.upstream.incoming import Incoming

if TYPE_CHECKING:
    from scalemesh.edge.worker import Worker

_SLASH = ord("/")


class Intake:
    """The part of a connection that llhttp calls; what is raised here ends the connection with a refusal."""

    __slots__ = (
        "_active_at",
        "_body",
        "_body_bytes",
        "_completed",
        "_deaf",
        "_headers",
        "_introduced",
        "_left",
        "_parser",
        "_pending_bytes",
        "_repeats",
        "_request",
        "_target",
        "_tunnelling",
        "_worker",
    )

    def __init__(self, worker: "Worker") -> None:
        self._worker = worker
        self._parser: Any = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: Incoming | None = None  # of a request that is already passed on, while it comes in
        self._tunnelling = False  # what comes in is no longer HTTP: all of it is the body
        self._body_bytes = 0
        self._pending_bytes = 0  # since the last request, or piece of a body passed on; those under way now included
        self._repeats = 0  # of header names
        self._left = worker.keep_alive.requests  # that this connection may bring yet
        self._request: Request | None = None  # its body comes in chunks
        self._completed = False
        self._introduced = False  # by a proxy in front of us, whose word is taken
        self._deaf = False  # nothing that still comes in is looked at
        self._active_at = worker.tick

    def _take(self, request: Request) -> None:
        """Answer it, in its turn. Its body has come in, unless it is to be passed on."""
        raise NotImplementedError

    def _introduce(self, request: Request) -> None:
        """Put in what the proxy says of its client."""
        raise NotImplementedError

    def _regulate(self) -> None:
        """Read on, or not, as there is room."""
        raise NotImplementedError

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
            self._pending_bytes = 0
            return
        self._body_bytes += len(data)
        if self._body_bytes > MAX_BODY_BYTES:
            raise Refused(413)

    def on_message_complete(self) -> None:
        if self._deaf:
            return
        request, passed_on = self._request, False
        self._completed = True
        self._active_at = self._worker.tick
        if request is None:
            request = self._take_head()
        else:
            passed_on = self._end_body()
        if request.upgrade and request.is_websocket and self._worker.serving.proxies(request):
            self._body = request.body = Incoming(self._regulate)
            self._tunnelling = True
        elif not request.keep_alive:
            self._deaf = True
        if not passed_on:
            self._take(request)

    def _take_head(self) -> Request:
        """The request whose head has come in whole; what llhttp reports from here on belongs to its body."""
        parser, headers, target, query = self._parser, self._headers, self._target, b""
        if len(headers) > MAX_HEADERS or self._pending_bytes > MAX_HEADER_BYTES:
            self._check_size()
        self._headers = {}
        self._target = b""
        if b"?" in target:
            target, _, query = target.partition(b"?")
            if b"#" in query:
                raise Refused(400)
        host = headers.get(b"host", b"")
        self._left -= 1
        stays = parser.should_keep_alive() and self._left > 0
        method = parser.get_method()
        request = Request(method, target, query, headers, host, stays, stays and method == b"GET")
        if not stays or b"connection" in headers:
            request.check_version(parser.get_http_version())
            if parser.should_upgrade():
                request.keep_alive = request.plain = False
                request.upgrade = True
        if not host or target[0] != _SLASH:
            request.check_target()
        if self._introduced:
            self._introduce(request)
        return request

    def _expect_body(self) -> None:
        request = self._request = self._take_head()
        request.plain = False
        if b"transfer-encoding" in request.headers:
            request.check_coding()
        if not self._deaf and not request.upgrade and self._worker.serving.proxies(request):
            self._body = request.body = Incoming(self._regulate)
            self._pending_bytes = 0
            self._take(request)

    def _end_body(self) -> bool:
        """Whether it was passed on."""
        body, self._body = self._body, None
        if body is not None:
            body.end()
        self._request = None
        self._body_bytes = 0
        self._headers = {}  # trailers
        return body is not None

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
