"""Passwords: Argon2 off the event loop, and a brake on guessing."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from pwdlib import PasswordHash
from pwdlib.hashers import HasherProtocol
from pwdlib.hashers.argon2 import Argon2Hasher

from scalemesh.errors import InvalidInput, TooManyRequests

MIN_LENGTH = 8
MAX_LENGTH = 256
WINDOW_MS = 5 * 60 * 1000
MAX_FAILURES_OF_PAIR = 5  # one account from one peer
MAX_FAILURES_OF_PEER = 30
_MAX_KEYS = 10_000


class Passwords:
    """Hashes and verifies; two at a time, because each takes 64 MB for a moment."""

    def __init__(self, hasher: HasherProtocol | None = None) -> None:
        self._hash = PasswordHash((hasher or Argon2Hasher(),))
        self._turns = asyncio.Semaphore(2)
        self._decoy: str | None = None

    async def hash(self, password: str) -> str:
        """Raises InvalidInput for a password that is too short or too long."""
        if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
            raise InvalidInput(
                f"A password has {MIN_LENGTH} to {MAX_LENGTH} characters.", code="weak_password", field="password"
            )
        async with self._turns:
            return await asyncio.to_thread(self._hash.hash, password)

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """As slow for an unknown account (None) as for a known one."""
        async with self._turns:
            if self._decoy is None:
                self._decoy = await asyncio.to_thread(self._hash.hash, "nobody's")
            matches = await asyncio.to_thread(self._hash.verify, password[:MAX_LENGTH], password_hash or self._decoy)
        return matches and password_hash is not None


class Throttle:
    """Counts failures per key within a window, in this process, for the last _MAX_KEYS keys."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._failures: OrderedDict[str, list[int]] = OrderedDict()

    def check(self, limits: dict[str, int]) -> None:
        """Raises TooManyRequests when one of the keys has reached its limit."""
        for key, limit in limits.items():
            recent = self._recent(key)
            if len(recent) >= limit:
                wait_ms = recent[0] + WINDOW_MS - self._clock()
                raise TooManyRequests(
                    "Too many failed attempts to sign in.",
                    retry_after_s=max(1, -(-wait_ms // 1000)),
                    code="sign_in_throttled",
                    hint="Wait a few minutes and try again.",
                )

    def failed(self, limits: dict[str, int]) -> None:
        for key in limits:
            self._failures[key] = [*self._recent(key), self._clock()]
            self._failures.move_to_end(key)
        while len(self._failures) > _MAX_KEYS:
            self._failures.popitem(last=False)

    def forget(self, key: str) -> None:
        self._failures.pop(key, None)

    def _recent(self, key: str) -> list[int]:
        since = self._clock() - WINDOW_MS
        return [at for at in self._failures.get(key, ()) if at > since]
