"""One decision for everything that leaves: resolve, check, pin.

The public internet is open; loopback, private, link-local and metadata addresses are not, whatever name or wrapping
they come under, unless the operator's allow-list has them. The well-known package registries may be mirrored at
private addresses (a company's proxy), but never at this machine's own.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial

from scalemesh.egress import allow as allow_list
from scalemesh.egress.addresses import Address, is_metadata, is_never, is_public, unwrap
from scalemesh.errors import Forbidden, Unavailable

REGISTRIES = ("registry.npmjs.org", "registry.yarnpkg.com", "pypi.org", "files.pythonhosted.org")
PORTS = (22, 80, 443, 9418)
RESOLVE_TIMEOUT_S = 8.0
LOOKUPS_AT_ONCE = 16
REMEMBER_S = 30.0
MAX_REMEMBERED = 4096
_PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")

Resolver = Callable[[str], Awaitable[Sequence[str]]]


class EgressDenied(Forbidden):
    """The message names the host, the port and the rule."""


async def system_resolver(host: str) -> Sequence[str]:
    """All addresses of a name as this machine sees them. Raises OSError.

    In threads of their own: names that nobody ever answers keep each other waiting, and not the watch over a build.
    """
    look_up = partial(socket.getaddrinfo, host, None, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_lookups(), look_up)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


@cache
def _lookups() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(LOOKUPS_AT_ONCE, thread_name_prefix="lookup")


class Guard:
    """`allow`: entries `host[:port]` or CIDR (BadSettings when malformed; a loopback entry needs a port).

    `allow_private` opens private and loopback addresses too (a clone from one's own network), metadata ones never.
    `registries` are names that may resolve to private addresses on port 443. `ports` are more ports that can be used
    from inside a sandbox; they open no address. `setting` is what a refusal names as the way to allow an address.
    """

    def __init__(
        self,
        allow: Sequence[str] = (),
        *,
        allow_private: bool = False,
        ports: Sequence[int] = (),
        registries: Sequence[str] = REGISTRIES,
        resolver: Resolver = system_resolver,
        setting: str = "SCALEMESH_BUILD_EGRESS_ALLOW",
    ) -> None:
        self._entries = tuple(map(allow_list.parse, allow))
        self._allow_private = allow_private
        self._ports = frozenset({*PORTS, *ports, *(e.port for e in self._entries if e.port)})
        self._registries = frozenset(registries)
        self._resolver = resolver
        self._setting = setting
        self._remembered: dict[str, tuple[float, Sequence[str]]] = {}

    @property
    def ports(self) -> tuple[int, ...]:
        """What can be reached at all from inside a sandbox: the usual ports, the caller's and the allow-list's."""
        return tuple(sorted(self._ports))

    @property
    def networks(self) -> tuple[str, ...]:
        """IPv4 networks that can be reached by address, without a name: the allow-list's, loopback left out."""
        nets = [e.network for e in self._entries if e.network and e.network.version == 4]
        listed = [str(net) for net in nets if not net.is_loopback]
        return tuple(dict.fromkeys([*listed, *(_PRIVATE if self._allow_private else ())]))

    async def resolve(self, host: str, port: int | None) -> list[str]:
        """The addresses to connect to, and no others; with port None, those that some port could be open at.

        Raises EgressDenied, or Unavailable when the name does not resolve.
        """
        host = host.lower().rstrip(".")
        if address := allow_list.literal(host):
            found: Sequence[str] = [str(address)]
        else:
            found = await self._lookup(host)
        allowed = [a for a in found if self._refusal(host, port, a) is None]
        if not allowed:
            raise EgressDenied(f"{_at(host, port)}: {self._refusal(host, port, found[0])}", code="egress_denied")
        return allowed

    async def _lookup(self, host: str) -> Sequence[str]:
        """Remembered for a little while: a name is asked for by the DNS stub first, then by each connection."""
        now = asyncio.get_running_loop().time()
        until, found = self._remembered.get(host, (0.0, ()))
        if until < now:
            found = await self._ask(host)
            if len(self._remembered) >= MAX_REMEMBERED:
                self._remembered.clear()
            self._remembered[host] = (now + REMEMBER_S, found)
        return found

    async def _ask(self, host: str) -> Sequence[str]:
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT_S):
                found = await self._resolver(host)
        except (OSError, UnicodeError, TimeoutError) as error:
            raise Unavailable(f"{host}: the name does not resolve ({error})", code="name_not_resolved") from error
        if not found:
            raise Unavailable(f"{host}: the name has no address", code="name_not_resolved")
        return found

    def _refusal(self, host: str, port: int | None, text: str) -> str | None:
        """Why this address may not be used for `host`, or None when it may."""
        address = allow_list.literal(text)
        if address is None or is_never(address):
            return f"{text} is not an address of a machine"
        if self._listed(host, port, address) or is_public(address):
            return None
        if is_metadata(address):
            return f"{text} is a link-local or metadata address"
        if self._allow_private or self._is_registry(host, port, address):
            return None
        kind = "a loopback" if unwrap(address).is_loopback else "a private or reserved"
        return f"{text} is {kind} address; {self._setting} can allow it"

    def _listed(self, host: str, port: int | None, address: Address) -> bool:
        return any(e.opens(host, port, address) for e in self._entries)

    def _is_registry(self, host: str, port: int | None, address: Address) -> bool:
        return host in self._registries and port in {443, None} and not unwrap(address).is_loopback


def _at(host: str, port: int | None) -> str:
    return host if port is None else f"{host}:{port}"
