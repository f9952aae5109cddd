"""What a worker notes of the requests that it answered, on its hot path: a few additions, rarely a record.

Totals are kept for every request of a site. Records are kept up to a cap per project and second: the first ones, each
with the share that they are of all. No query and no whole address leaves this module.
"""

import ipaddress
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import chain, islice
from typing import Protocol

from scalemesh.core.access import (
    LATENCY_BOUNDS_US,
    MAX_HOST,
    MAX_PATH,
    MAX_ROWS,
    AccessRecord,
    AccessRows,
    AccessTotals,
    Cache,
)
from scalemesh.edge.request import Request

MAX_RECORDS = 2000  # a second, of all projects
clock_ns = time.perf_counter_ns
_BYTES, _TOOK, _FIRST = 0, 1, 2  # then the requests by their duration
# Bits of a duration in µs → its count's place: durations below 2**6 are in the first, from 2**25 on in the last.
_PLACES = [_FIRST + min(max(bits - 6, 0), len(LATENCY_BOUNDS_US)) for bits in range(64)]
_NONE = [0] * (_FIRST + len(LATENCY_BOUNDS_US) + 1)

Rows = list[AccessRows]
Kept = tuple[int, bytes, bytes, bytes, int, Cache, int, int, str]
Totals = dict[tuple[str, int, Cache], list[int]]


class Asker(Protocol):
    """Whose request it was; `client`, its address, is asked only where a record is kept."""

    def client(self) -> str: ...


class Access:
    """`add` counts an answer; `flush` hands what was counted since the last one to `ship`. `cap`: records a second of
    one project."""

    __slots__ = ("_began", "_cap", "_full", "_kept", "_room", "_ship", "_totals")

    def __init__(self, ship: Callable[[Rows], None], cap: int) -> None:
        self._ship = ship
        self._cap = cap
        self._begin()

    def _begin(self) -> None:
        self._began = int(time.time()) * 1000
        self._totals: Totals = {}
        self._kept: dict[str, list[Kept]] = {}
        self._full: set[str] = set()  # projects that get no more records
        self._room = MAX_RECORDS

    def add(self, request: Request, status: int, sent: int, cache: Cache, asker: Asker) -> None:
        project = request.project
        if not project:
            return
        took_us = (clock_ns() - request.began) // 1000
        totals = self._totals.get((project, status, cache))
        if totals is None:
            totals = self._totals[project, status, cache] = _NONE.copy()
        totals[0] += sent
        totals[1] += took_us
        totals[_PLACES[took_us.bit_length()]] += 1
        if project not in self._full:
            self._keep(request, status, sent, cache, took_us, asker)

    def _keep(self, request: Request, status: int, sent: int, cache: Cache, took_us: int, asker: Asker) -> None:
        kept = self._kept.setdefault(request.project, [])
        if len(kept) >= self._cap or not self._room:
            self._full.add(request.project)
            return
        self._room -= 1
        at, host, path = int(time.time() * 1000), request.host[:MAX_HOST], request.target[:MAX_PATH]
        client = request.client or asker.client()
        kept.append((at, host, request.method, path, status, cache, sent, took_us, client))

    def flush(self) -> None:
        """Called once a second."""
        at, totals, kept = self._began, self._totals, self._kept
        self._begin()
        if totals:
            self._ship(list(_batches(at, totals, kept)))


def _batches(at: int, totals: Totals, kept: dict[str, list[Kept]]) -> Iterator[AccessRows]:
    counts: dict[str, int] = {}
    for (project, _, _), counted in totals.items():
        counts[project] = counts.get(project, 0) + sum(counted[_FIRST:])
    rows = chain(
        (_total(at, key, counted) for key, counted in totals.items()),
        (_record(project, one, len(some) / counts[project]) for project, some in kept.items() for one in some),
    )
    while some := list(islice(rows, MAX_ROWS)):
        yield AccessRows(
            totals=[row for row in some if isinstance(row, AccessTotals)],
            records=[row for row in some if isinstance(row, AccessRecord)],
        )


def _total(at: int, key: tuple[str, int, Cache], counted: list[int]) -> AccessTotals:
    project, status, cache = key
    return AccessTotals(
        at=at,
        project=project,
        status=status,
        cache=cache,
        requests=sum(counted[_FIRST:]),
        bytes=counted[_BYTES],
        took_us=counted[_TOOK],
        latency=counted[_FIRST:],
    )


def _record(project: str, kept: Kept, rate: float) -> AccessRecord:
    at, host, method, path, status, cache, sent, took_us, client = kept
    return AccessRecord(
        at=at,
        project=project,
        host=host.decode("utf-8", "replace"),
        method=method.decode("ascii", "replace"),
        path=path.decode("utf-8", "replace"),
        status=status,
        cache=cache,
        bytes=sent,
        took_us=took_us,
        client=network_of(client),
        rate=rate,
    )


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """The /24 or /48 that an address lies in (an IPv4 address inside IPv6 counts as IPv4); empty for no address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return str(ipaddress.ip_network((parsed, 24 if parsed.version == 4 else 48), strict=False))
