"""What the rules say about one request that another site is to answer, and the operator's limits on all of them."""

from collections.abc import Sequence

import msgspec

MB = 1024 * 1024


class Proxied(msgspec.Struct, frozen=True):
    """`url` is absolute and encoded. The site's rules' changes are `headers` (by lower-case name) and `without` of the
    answer, and `asking` of the request."""

    url: str
    team: str
    production: bool
    headers: Sequence[tuple[str, str]]
    without: Sequence[str]
    asking: Sequence[tuple[str, str]] = ()


class ProxyLimits(msgspec.Struct, frozen=True, kw_only=True):
    """`allow`: private addresses that sites may name, as for `egress.guard.Guard`. `concurrency` is for one team in one
    worker. `request_bytes` and `response_bytes` bound one request, or one WebSocket in either direction. `timeout_s`:
    for the first byte of an answer, and between two bytes."""

    allow: tuple[str, ...] = ()
    concurrency: int = 100
    request_bytes: int = 100 * MB
    response_bytes: int = 1024 * MB
    timeout_s: float = 120.0
