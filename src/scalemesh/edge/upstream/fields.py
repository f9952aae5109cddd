"""Header fields on their way through: RFC 9110 §7.6 (hop-by-hop fields, Via) and §6.6 (Date), RFC 9112 §6 (framing)."""

import http
import re
import time
from collections.abc import Iterable, Sequence

from scalemesh.edge.request import Request
from scalemesh.edge.responses import http_date
from scalemesh.edge.upstream.target import Proxied

Fields = Sequence[tuple[bytes, bytes]]

MAX_HOPS = 5  # times that one request may come through an edge: a site may name another one, which names a third
NAME = b"scalemesh"
_HOP = frozenset({
    b"connection", b"http2-settings", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection",
    b"te", b"trailer", b"transfer-encoding", b"upgrade",
})  # fmt: skip
_ASKED_ANEW = frozenset({b"content-length", b"expect", b"host", b"via"})
_CLIENT_SAYS = frozenset({
    b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-proto", b"x-real-ip",
})  # fmt: skip
_ANSWERED_ANEW = frozenset({b"alt-svc", b"content-length", b"date"})
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_NO_BODY = frozenset({204, 304})


def hops(request: Request) -> int:
    """How often this request has come through an edge."""
    listed = request.headers.get(b"via", b"").lower().split(b",")
    return sum(entry.split()[1:2] == [NAME] for entry in listed)


def to_upstream(request: Request, asked: Proxied, authority: bytes, client: str) -> list[tuple[bytes, bytes]]:
    """The fields of the upstream's request. What the client says about itself is replaced by what is known, and by
    what the site says.

    Many servers read `X_Forwarded_For` as `X-Forwarded-For` (RFC 3875 §4.1.18), so both go.
    """
    headers = request.headers
    dropped = _HOP | _ASKED_ANEW | _CLIENT_SAYS | _named_by(headers.get(b"connection", b""))
    dropped |= {name.lower().encode() for name, _ in asked.asking}
    via = headers.get(b"via")
    kept = ((name, value.strip()) for name, value in headers.items() if name.replace(b"_", b"-") not in dropped)
    fields = [(b"Host", authority), *kept]
    fields += [(name.encode(), value.encode("latin-1")) for name, value in asked.asking]
    fields += [
        (b"X-Forwarded-For", client.encode()),
        (b"X-Forwarded-Host", request.host),
        (b"X-Forwarded-Proto", request.scheme),
        (b"Via", (via + b", " if via else b"") + b"1.1 " + NAME),
    ]
    if request.is_websocket:
        fields += [(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]
    elif b"transfer-encoding" in headers:
        fields.append((b"Transfer-Encoding", b"chunked"))
    elif b"content-length" in headers:
        fields.append((b"Content-Length", b"%d" % int(headers[b"content-length"])))
    return fields


class Head:
    """The beginning of an answer. `chunked`: its body is to be framed so; `closes`: nothing can follow it.

    `fields` are an upstream's, whose framing has been checked. `close` says that the connection is to end anyway.
    """

    def __init__(self, request: Request, asked: Proxied, status: int, fields: Fields, *, close: bool) -> None:
        listed = [(name.lower(), name, value) for name, value in fields]
        connection = b",".join(value for name, _, value in listed if name == b"connection")
        length = next((value for name, _, value in listed if name == b"content-length"), None)
        coded = any(name == b"transfer-encoding" for name, _, _ in listed)
        unknown = (coded or length is None) and status not in _NO_BODY and request.method != b"HEAD"
        self.length = None if coded or length is None else int(length)
        self.chunked = unknown and not request.http10
        self.closes = close or (unknown and request.http10)
        dropped = _HOP | _ANSWERED_ANEW | _named_by(connection)
        kept = [(name, value) for lower, name, value in listed if lower not in dropped]
        date = next((value for name, _, value in listed if name == b"date"), http_date(time.time()).encode())
        lines = [(b"Date", date), *_ruled(kept, asked)]
        if self.length is not None and status != 204:
            lines.append((b"Content-Length", b"%d" % self.length))
        if self.chunked:
            lines.append((b"Transfer-Encoding", b"chunked"))
        if self.closes or request.http10:
            lines.append((b"Connection", b"close" if self.closes else b"keep-alive"))
        self.raw = _raw(status, lines)


def are_clean(fields: Fields) -> bool:
    """Without control characters, which an HTTP client may drop, cut at, or show (RFC 9110 §5.5)."""
    return not any(_CONTROL.search(value) for _, value in fields)


def switches(fields: Fields) -> bool:
    """Whether a 101 is to the protocol that was asked for."""
    return [value.lower() for name, value in fields if name.lower() == b"upgrade"] == [b"websocket"]


def switching(asked: Proxied, fields: Fields) -> bytes:
    """The head that turns a connection into a WebSocket."""
    dropped = _HOP | _ANSWERED_ANEW
    kept = [(name, value) for name, value in fields if name.lower() not in dropped]
    return _raw(101, [*_ruled(kept, asked), (b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")])


def _ruled(fields: Fields, asked: Proxied) -> list[tuple[bytes, bytes]]:
    """The site's rules over the upstream's fields. `Vary` only grows, and a preview stays out of search engines."""
    ruled = {name.encode(): value.encode("latin-1") for name, value in asked.headers}
    if not asked.production:
        ruled[b"x-robots-tag"] = b"noindex"
    gone = {*ruled, *(name.encode() for name in asked.without)} - {b"vary"}
    kept = [(name, value) for name, value in fields if name.lower() not in gone]
    return [*kept, *((name.title(), value) for name, value in ruled.items())]


def _named_by(connection: bytes) -> frozenset[bytes]:
    return frozenset(option.strip().lower() for option in connection.split(b","))


def _raw(status: int, lines: Iterable[tuple[bytes, bytes]]) -> bytes:
    phrase = http.HTTPStatus(status).phrase if status in _KNOWN else ""
    fields = b"".join(b"%b: %b\r\n" % line for line in lines)
    return f"HTTP/1.1 {status} {phrase}\r\n".encode() + fields + b"\r\n"


_KNOWN = frozenset(http.HTTPStatus)
