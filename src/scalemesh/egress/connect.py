"""Connections for httpcore to addresses that a stranger chose: each resolves, checks and pins."""

from collections.abc import Iterable

import httpcore

from scalemesh.egress.guard import Guard

MAX_TRIED = 3  # addresses of one name


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
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue  # the next address may be reachable
        return await self._inner.connect_tcp(last, port, timeout, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)
