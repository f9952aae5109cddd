"""Byte ranges (RFC 9110 §14): which parts of a file a request asks for, and the response that holds them."""

import os
import re
import secrets

from scalemesh.edge.pages import HOT_FILE_BYTES, Representation
from scalemesh.edge.responses import FileSlice, Response, head

Span = tuple[int, int]  # first and last byte, both included

MAX_RANGES = 16
_GAP_BYTES = 128  # between two ranges, less than another part's headers take
_FIELD = re.compile(rb"bytes=(.{1,1024})", re.IGNORECASE)
_RANGE = re.compile(rb"[ \t]*(\d*)-(\d*)[ \t]*")


def byte_ranges(headers: dict[bytes, bytes], etag: bytes, size: int) -> list[Span] | int:
    """The parts for 206, in order and apart from each other; or 416; or 200 for all of it: no range, nonsense, too
    many, or If-Range differs."""
    field = _FIELD.fullmatch(headers.get(b"range", b""))
    if field is None or headers.get(b"if-range", etag) != etag:
        return 200
    matches = [_RANGE.fullmatch(part) for part in field[1].split(b",") if part.strip()]
    if not 0 < len(matches) <= MAX_RANGES:
        return 200
    spans = []
    for match in matches:
        if match is None or match[0].strip() == b"-" or (match[1] and match[2] and int(match[2]) < int(match[1])):
            return 200
        spans.append(_span(match[1], match[2], size))
    return _joined([span for span in spans if span is not None]) or 416


def _span(first: bytes, last: bytes, size: int) -> Span | None:
    """None where no byte of the file is meant."""
    if not first:
        return (max(size - int(last), 0), size - 1) if int(last) and size else None
    return (int(first), min(int(last or size), size - 1)) if int(first) < size else None


def _joined(spans: list[Span]) -> list[Span]:
    """Overlapping ranges, and those close to each other, as one: nothing is sent twice."""
    joined: list[Span] = []
    for first, last in sorted(spans):
        if joined and first <= joined[-1][1] + _GAP_BYTES:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return joined


def partial(chosen: Representation, whole: Response, spans: list[Span]) -> Response:
    """206 with one part, or with several as `multipart/byteranges`; all of it where several would fill the memory."""
    if whole.status != 200:
        return whole
    if len(spans) == 1:
        return _single(chosen, whole, *spans[0])
    if not fit(spans):
        return whole
    return several(chosen, [(span, _bytes(whole, *span)) for span in spans])


def fit(spans: list[Span]) -> bool:
    """Whether several parts are few enough bytes to be put together in memory."""
    return sum(last - first + 1 for first, last in spans) <= HOT_FILE_BYTES


def single_head(chosen: Representation, first: int, last: int) -> bytes:
    return head(
        *chosen.lines,
        ("Content-Range", f"bytes {first}-{last}/{chosen.ref.size}"),
        ("Content-Length", str(last - first + 1)),
    )


def _single(chosen: Representation, whole: Response, first: int, last: int) -> Response:
    lines = single_head(chosen, first, last)
    if whole.file is not None:
        return Response(206, lines, file=FileSlice(whole.file.blob, first, last - first + 1))
    return Response(206, lines, whole.cut(first, last))


def several(chosen: Representation, parts: list[tuple[Span, bytes]]) -> Response:
    boundary = secrets.token_hex(16)
    kind = [(name, value) for name, value in chosen.lines if name.lower() == "content-type"]
    body = b""
    for (first, last), data in parts:
        lines = head(*kind, ("Content-Range", f"bytes {first}-{last}/{chosen.ref.size}"))
        body += f"\r\n--{boundary}\r\n".encode() + lines + data
    body += f"\r\n--{boundary}--\r\n".encode()
    others = [line for line in chosen.lines if line not in kind]
    return Response(
        206,
        head(
            *others,
            ("Content-Type", f"multipart/byteranges; boundary={boundary}"),
            ("Content-Length", str(len(body))),
        ),
        body,
    )


def _bytes(whole: Response, first: int, last: int) -> bytes:
    if whole.file is None:
        return whole.cut(first, last)
    return os.pread(whole.file.blob.fd, last - first + 1, first)
