"""Totals over time, for charts: requests, bytes, statuses, cache states and latency, by step and over all."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby

import msgspec

from scalemesh.core.access import LATENCY_BOUNDS_US, Cache
from scalemesh.logs.access.base import Sum


class Latency(msgspec.Struct, frozen=True):
    """In milliseconds, estimated from `counts`: one for each of LATENCY_BOUNDS_US, and what took longer than all."""

    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    counts: list[int]


class Figures(msgspec.Struct, frozen=True):
    requests: int
    bytes: int
    statuses: dict[int, int]
    cache: dict[Cache, int]
    latency: Latency | None


def figures(sums: Sequence[Sum]) -> Figures:
    """Of all of them together; `latency` is None where there are none."""
    statuses: Counter[int] = Counter()
    cache: Counter[Cache] = Counter()
    for one in sums:
        statuses[one.status] += one.requests
        cache[one.cache] += one.requests
    requests = statuses.total()
    return Figures(
        requests=requests,
        bytes=sum(one.bytes for one in sums),
        statuses=dict(sorted(statuses.items())),
        cache=dict(sorted(cache.items())),
        latency=_latency(sums, requests) if requests else None,
    )


def by_step(sums: Sequence[Sum]) -> list[tuple[int, Figures]]:
    """For each step in which there were requests, from when on; `sums` are in order of time."""
    return [(at, figures(list(group))) for at, group in groupby(sums, key=lambda one: one.at)]


def _latency(sums: Sequence[Sum], requests: int) -> Latency:
    counts = [sum(column) for column in zip(*(one.latency for one in sums), strict=True)]
    mean_us = sum(one.took_us for one in sums) / requests
    p50, p95, p99 = (_ms(quantile_us(counts, share)) for share in (0.5, 0.95, 0.99))
    return Latency(_ms(mean_us), p50, p95, p99, counts)


def _ms(us: float) -> float:
    return round(us / 1000, 3)


def quantile_us(counts: Sequence[int], share: float) -> float:
    """Evenly spread within its bucket: off by less than a factor of two."""
    wanted = share * sum(counts)
    bounds = (0, *LATENCY_BOUNDS_US, 2 * LATENCY_BOUNDS_US[-1])
    for number, count in enumerate(counts):
        if count and wanted <= count:
            return bounds[number] + (bounds[number + 1] - bounds[number]) * wanted / count
        wanted -= count
    return float(bounds[-1])
