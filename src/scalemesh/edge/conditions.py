"""Conditional requests (RFC 9110 §13) and byte ranges (§14) against one strong entity tag."""

import re

_TAG = re.compile(rb'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_RANGE = re.compile(rb"bytes=[ \t]*(\d{0,18})-(\d{0,18})[ \t]*", re.IGNORECASE)

CONDITIONAL = frozenset({b"if-none-match", b"if-match", b"range"})


def precondition(headers: dict[bytes, bytes], etag: bytes) -> int | None:
    """412, 304, or None: go on. There is no Last-Modified, so the dates of §13.1.3 and §13.1.4 never apply."""
    if_match = headers.get(b"if-match")
    if if_match is not None and not _matches(if_match, etag, strong=True):
        return 412
    if_none_match = headers.get(b"if-none-match")
    if if_none_match is not None and _matches(if_none_match, etag, strong=False):
        return 304
    return None


def _matches(field: bytes, etag: bytes, *, strong: bool) -> bool:
    if field.strip() == b"*":
        return True
    return any(tag == etag and not (strong and weak) for weak, tag in _TAG.findall(field))


def wants_range(headers: dict[bytes, bytes]) -> bool:
    """Whether the range is asked for at all; ranges are of the identity coding, as players and resumers expect."""
    return b"range" in headers


def byte_range(headers: dict[bytes, bytes], etag: bytes, size: int) -> tuple[int, int] | int:
    """`(first, last)` for 206, or 416, or 200 for all of it: no range, several, nonsense, or If-Range differs."""
    field = headers.get(b"range")
    if field is None or headers.get(b"if-range", etag) != etag:
        return 200
    match = _RANGE.fullmatch(field)
    if match is None or not (match[1] or match[2]):
        return 200
    if not match[1]:
        suffix = int(match[2])
        return (max(size - suffix, 0), size - 1) if suffix and size else 416
    first = int(match[1])
    last = int(match[2]) if match[2] else size - 1
    if last < first and match[2]:
        return 200
    return (first, min(last, size - 1)) if first < size else 416
