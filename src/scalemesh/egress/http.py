"""HTTP out of the trusted side to an address that a stranger chose: each connection resolves, checks and pins."""

import ssl
from typing import Self

import httpx

from scalemesh.egress.guard import Guard

_PORTS = {"https": 443, "http": 80}


class GuardedTransport(httpx.AsyncBaseTransport):
    """For httpx.AsyncClient, redirects included. Raises EgressDenied or Unavailable from the guard."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        # No connection is kept: one to an address is not one to every name that has this address.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._inner = httpx.AsyncHTTPTransport(verify=ssl.create_default_context(), limits=limits, trust_env=False)

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        host, port = request.url.host, request.url.port or _PORTS.get(request.url.scheme, 0)
        address = (await self._guard.resolve(host, port))[0]
        pinned = httpx.Request(
            request.method,
            request.url.copy_with(host=address),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": host},
        )
        return await self._inner.handle_async_request(pinned)
