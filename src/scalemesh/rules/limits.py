"""Limits on rules, and what a rule may say: the same for the parsers and on receipt."""

import re

from scalemesh.rules.complaints import BadRule

MAX_FILE_BYTES = 1024 * 1024
MAX_RULES = 2048
MAX_HEADERS_A_RULE = 1024
MAX_CONDITIONS = 16
MAX_PATH_CHARS = 4096
MAX_HEADER_CHARS = 32 * 1024
MAX_NAME_CHARS = 256

REDIRECTS = frozenset({301, 302, 303, 307, 308})
STATUSES = REDIRECTS | {200, 403, 404, 410, 451}

# RFC 9110 §7.6.1 and §6.4.1, and what follows from the bytes that the edge itself chooses.
_OURS = frozenset({
    "accept-ranges", "age", "allow", "alt-svc", "connection", "content-encoding", "content-length", "content-range",
    "date", "etag", "keep-alive", "location", "proxy-authenticate", "proxy-authorization", "proxy-connection", "server",
    "te", "trailer", "transfer-encoding", "upgrade",
})  # fmt: skip
# RFC 9110 §7.2, §7.6 and §10.1.1, and what the edge says of its client (edge.upstream.fields).
_OURS_UPSTREAM = frozenset({
    "connection", "content-length", "expect", "forwarded", "host", "http2-settings", "keep-alive", "proxy-authenticate",
    "proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "via",
    "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto", "x-real-ip",
})  # fmt: skip
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


def check_status(status: object) -> int:
    if not isinstance(status, int) or isinstance(status, bool) or status not in STATUSES:
        allowed = ", ".join(map(str, sorted(STATUSES)))
        raise BadRule(f"status {status!r} is not supported (supported: {allowed})")
    return status


def check_length(text: str, what: str) -> str:
    if len(text) > MAX_PATH_CHARS:
        raise BadRule(f"{what} is longer than {MAX_PATH_CHARS} characters")
    return text


def check_header(name: str, value: str = "") -> None:
    """One that a site adds to its answers."""
    if name.lower() in _OURS:
        raise BadRule(f"the header `{name}` is set by the edge alone")
    _check_field(name, value)


def check_proxy_header(name: str, value: str) -> None:
    """One that a site adds to what another site is asked."""
    if name.lower().replace("_", "-") in _OURS_UPSTREAM:
        raise BadRule(f"the header `{name}` of a request to another site is set by the edge alone")
    _check_field(name, value)


def _check_field(name: str, value: str) -> None:
    if not _TOKEN.fullmatch(name) or len(name) > MAX_NAME_CHARS:
        raise BadRule(f"{name[:80]!r} is not a header name")
    if len(value) > MAX_HEADER_CHARS:
        raise BadRule(f"the value of `{name}` is longer than {MAX_HEADER_CHARS} characters")
    if not _VALUE.fullmatch(value):
        raise BadRule(f"the value of `{name}` has a character that a header cannot carry")
