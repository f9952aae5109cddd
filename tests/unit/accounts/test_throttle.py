"""Guessing is slowed down, and time heals it."""

import pytest

from scalemesh.accounts.passwords import WINDOW_MS, Throttle
from scalemesh.errors import TooManyRequests
from scalemesh.testing.factories import Clock


def test_limit_of_one_key() -> None:
    throttle = Throttle(Clock())
    for _ in range(2):
        throttle.check({"a": 2})
        throttle.failed({"a": 2})
    with pytest.raises(TooManyRequests):
        throttle.check({"a": 2, "b": 2})
    throttle.check({"b": 2})


def test_says_when_to_come_back() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    throttle.failed({"a": 1})
    clock.advance(seconds=100)
    with pytest.raises(TooManyRequests) as caught:
        throttle.check({"a": 1})
    assert caught.value.retry_after_s == WINDOW_MS // 1000 - 100
    clock.advance(seconds=200)
    throttle.check({"a": 1})


def test_forgets_after_success() -> None:
    throttle = Throttle(Clock())
    throttle.failed({"a": 1})
    throttle.forget("a")
    throttle.check({"a": 1})


def test_memory_is_bounded() -> None:
    throttle = Throttle(Clock())
    for n in range(10_050):
        throttle.failed({f"k{n}": 1})
    assert len(throttle._failures) == 10_000
