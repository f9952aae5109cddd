"""One retry policy for calls that may be repeated."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from scalemesh.errors import TooManyRequests, Unavailable

DELAYS_S = (0.1, 0.2, 0.5, 1.0, 2.0)
T = TypeVar("T")


async def retrying(call: Callable[[], Awaitable[T]]) -> T:
    """Until it is answered. Whoever waits is ended by the agent when the API stays away for too long."""
    failures = 0
    while True:
        try:
            return await call()
        except (Unavailable, TooManyRequests):
            await asyncio.sleep(DELAYS_S[min(failures, len(DELAYS_S) - 1)])
            failures += 1
