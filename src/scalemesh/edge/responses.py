"""What goes over the wire: status lines with the date, responses, and the edge's own small pages."""

import http
import time
from collections.abc import Sequence

from scalemesh.edge.blobfiles import OpenBlob

STATUSES = (
    200,
    204,
    206,
    301,
    302,
    303,
    304,
    307,
    308,
    400,
    403,
    404,
    405,
    408,
    410,
    412,
    413,
    414,
    416,
    417,
    421,
    431,
    451,
    500,
    501,
    502,
    503,
    504,
    505,
    508,
)
CLIENT_LEFT = 499  # in access records only: before there was an answer; nginx's number
_BEFORE_DATE = {code: f"HTTP/1.1 {code} {http.HTTPStatus(code).phrase}\r\nDate: ".encode() for code in STATUSES}
_NO_DATE = b"Thu, 01 Jan 1970 00:00:00 GMT"
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class FileSlice:
    """Bytes `start … start + length` of an open file, sent without passing through this process."""

    __slots__ = ("blob", "length", "start")

    def __init__(self, blob: OpenBlob, start: int, length: int) -> None:
        self.blob = blob
        self.start = start
        self.length = length


class Response:
    """`head` holds the header lines and the empty line, without status line, Date and Connection; `size` are the bytes
    of the body, unless that is a `file`.

    `wire` is all of it for an HTTP/1.1 connection that stays open, ready to be sent, and `dated` the Date in it: a new
    one is written over it, not a new response made. A client that is still being sent to may get the new one.
    """

    __slots__ = ("dated", "file", "head", "size", "status", "wire")

    def __init__(self, status: int, head: bytes, body: bytes = b"", *, file: FileSlice | None = None) -> None:
        self.status = status
        self.head = head
        self.size = len(body)
        self.file = file
        self.dated = _NO_DATE
        self.wire = bytearray().join((_BEFORE_DATE[status], _NO_DATE, b"\r\n", head, body))

    def date(self, date: bytes) -> None:
        start = len(_BEFORE_DATE[self.status])
        self.wire[start : start + len(date)] = date
        self.dated = date

    def full(self, line: bytes) -> bytes:
        """`line`, one of StatusLines, then the rest."""
        return line + memoryview(self.wire)[-len(self.head) - self.size :]

    def cut(self, first: int, last: int) -> bytes:
        """Bytes `first … last` of the body."""
        start = len(self.wire) - self.size
        return bytes(self.wire[start + first : start + last + 1])


class StatusLines:
    """The first lines of responses, made anew each second. `keep[200]` is a response's beginning; `date` alone."""

    def __init__(self) -> None:
        self.date = _NO_DATE
        self.keep: dict[int, bytes] = {}
        self.keep10: dict[int, bytes] = {}
        self.close: dict[int, bytes] = {}
        self.refresh()

    def refresh(self) -> None:
        self.date = http_date(time.time()).encode()
        for status in STATUSES:
            line = _BEFORE_DATE[status] + self.date + b"\r\n"
            self.keep[status] = line
            self.keep10[status] = line + b"Connection: keep-alive\r\n"
            self.close[status] = line + b"Connection: close\r\n"


def http_date(seconds: float) -> str:
    """IMF-fixdate, whatever the locale."""
    t = time.gmtime(seconds)
    clock = f"{t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02}"
    return f"{_DAYS[t.tm_wday]}, {t.tm_mday:02} {_MONTHS[t.tm_mon - 1]} {t.tm_year} {clock} GMT"


def head(*lines: tuple[str, str]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in lines).encode("latin-1") + b"\r\n"


_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><style>body{{font:16px/1.5 system-ui,sans-serif;color:#222;background:#fff;display:grid;
place-content:center;min-height:90vh;text-align:center;margin:0 1rem}}h1{{font-size:1.4rem;margin:0}}p{{color:#666}}
@media(prefers-color-scheme:dark){{body{{color:#eee;background:#111}}p{{color:#999}}}}</style>
<h1>{title}</h1><p>{text}</p></html>
"""


def own_page(status: int, text: str, *, extra: Sequence[tuple[str, str]] = ()) -> Response:
    """A page of the edge itself, never of a site; never cached, unless `extra` says otherwise."""
    body = _PAGE.format(title=f"{status} {http.HTTPStatus(status).phrase}", text=text).encode()
    lines = (
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
    )
    replaced = {name.lower() for name, _ in extra}
    return Response(status, head(*(line for line in lines if line[0].lower() not in replaced), *extra), body)


UNKNOWN_HOST = own_page(404, "No site is deployed at this address.")
NO_ROUTES_YET = own_page(503, "This edge is starting. Try again in a moment.", extra=(("Retry-After", "1"),))
WITHOUT_PAGE = {
    403: "This page is not for you.",
    404: "This page does not exist.",
    410: "This page is gone.",
    451: "This page cannot be shown for legal reasons.",
}
NOT_FOUND = own_page(404, WITHOUT_PAGE[404])
NO_BLOB = own_page(503, "This file cannot be had right now. Try again in a moment.", extra=(("Retry-After", "2"),))
REFUSALS = {
    400: own_page(400, "This request is not valid HTTP."),
    408: own_page(408, "The request took too long."),
    417: own_page(417, "Sites take no request bodies."),
    413: own_page(413, "Sites take no request bodies of this size."),
    414: own_page(414, "The address is too long."),
    431: own_page(431, "The request's headers are too large."),
    500: own_page(500, "Something went wrong."),
    501: own_page(501, "This transfer coding is not supported."),
    505: own_page(505, "This edge speaks HTTP/1.0 and HTTP/1.1."),
}
