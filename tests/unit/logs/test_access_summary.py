"""Figures for charts."""

import pytest

from scalemesh.core.access import LATENCY_BOUNDS_US
from scalemesh.logs.access.base import Sum
from scalemesh.logs.access.summary import by_step, figures, quantile_us


def one(at: int, status: int, requests: int, bucket: int) -> Sum:
    latency = [requests if number == bucket else 0 for number in range(len(LATENCY_BOUNDS_US) + 1)]
    return Sum(at, status, "hit", requests, 10 * requests, 50 * requests, latency)


def test_adds_up() -> None:
    found = figures([one(0, 200, 3, 0), one(0, 404, 1, 1)])
    assert (found.requests, found.bytes, found.statuses, found.cache) == (4, 40, {200: 3, 404: 1}, {"hit": 4})
    assert found.latency is not None
    assert found.latency.mean_ms == 0.05
    assert found.latency.counts[:3] == [3, 1, 0]


def test_nothing_has_no_latency() -> None:
    assert figures([]).latency is None


def test_by_step() -> None:
    found = by_step([one(0, 200, 1, 0), one(0, 404, 1, 0), one(60, 200, 5, 0)])
    assert [(at, of_step.requests) for at, of_step in found] == [(0, 2), (60, 5)]


@pytest.mark.parametrize(("share", "expected"), [(0.5, 64), (0.25, 32), (0.75, 96), (1.0, 128)])
def test_quantiles_lie_in_their_bucket(share: float, expected: float) -> None:
    assert quantile_us([2, 2, *[0] * 19], share) == expected


def test_what_takes_longer_than_every_bound_is_in_the_last_bucket() -> None:
    assert LATENCY_BOUNDS_US[-1] < quantile_us([*[0] * 20, 4], 0.99) <= 2 * LATENCY_BOUNDS_US[-1]
