"""Conditional requests (RFC 9110 §13) against one strong entity tag."""

import re

_TAG = re.compile(rb'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')


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
    if field == etag or field.strip() == b"*":  # by far most often: just the one
        return True
    return any(tag == etag and not (strong and weak) for weak, tag in _TAG.findall(field))
