"""Connections for httpcore to addresses that a stranger chose: each resolves, checks and pins."""

import contextlib
import ssl
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import Any

import httpcore

from scalemesh.egress.guard import Guard

MAX_TRIED = 3  # addresses of one name
_left: ContextVar[int | None] = ContextVar("left", default=None)


class TooMuch(httpcore.ProtocolError):
    """More was read than `at_most` allows."""


@contextlib.contextmanager
def at_most(max_bytes: int) -> Iterator[None]:
    """What this task reads inside, be it from one connection or, after that is lost, from another; else TooMuch."""
    token = _left.set(max_bytes)
    try:
        yield
    finally:
        _left.reset(token)


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Names for TLS stay the URL's; what is dialled is an address. Raises what Guard.resolve raises."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        *first, last = (await self._guard.resolve(host, port))[:MAX_TRIED]
        for address in first:
            try:
                return await self._connect(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue  # the next address may be reachable
        return await self._connect(last, port, timeout, local_address, socket_options)

    async def _connect(self, *arguments: Any) -> "WatchedStream":
        return WatchedStream(await self._inner.connect_tcp(*arguments))

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


class WatchedStream(httpcore.AsyncNetworkStream):
    """Tells by `get_extra_info("answered")` whether bytes have come in since bytes last went out. On a kept connection
    an answer without any was there before its request was: it is left over from an earlier one, and somebody else's."""

    def __init__(self, inner: httpcore.AsyncNetworkStream) -> None:
        self._inner = inner
        self._answered = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        data = await self._inner.read(max_bytes, timeout)
        self._answered = True
        if (left := _left.get()) is not None:
            if len(data) > left:
                raise TooMuch("The answer has no end.")
            _left.set(left - len(data))
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._answered = False
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.AsyncNetworkStream:
        return WatchedStream(await self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._answered if info == "answered" else self._inner.get_extra_info(info)
