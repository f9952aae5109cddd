"""The operator's allow-list: `host[:port]` or CIDR, one entry a string."""

import ipaddress
import re
from dataclasses import dataclass

from scalemesh.egress.addresses import Address, Network, is_metadata, unwrap, within
from scalemesh.errors import BadSettings

_HOST = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.?")
_LOCALHOST = ("127.0.0.1", "::1")


@dataclass(frozen=True)
class Entry:
    """A host by name, or addresses; at one port, or (None) at any."""

    host: str | None
    network: Network | None
    port: int | None

    def opens(self, host: str, port: int | None, address: Address) -> bool:
        """Whether `host`, which is or resolves to `address`, may be used; port None asks if it may at any.

        A name opens no metadata address and, without a port, no loopback one: who runs its DNS is somebody else.
        """
        if self.port is not None and port not in {self.port, None}:
            return False
        if self.network is not None:
            return within(unwrap(address), (self.network,))
        if is_metadata(address) or (self.port is None and unwrap(address).is_loopback):
            return False
        return host == self.host or (self.host == "localhost" and host in _LOCALHOST)


def parse(text: str) -> Entry:
    """Raises BadSettings that says what is wrong with the entry."""
    host, port = _split(text.strip().lower())
    network = _network(host)
    if network is None and not _HOST.fullmatch(host):
        raise _bad(text, "expected host[:port] or an address range such as 10.0.0.0/8")
    entry = Entry(None if network else host.rstrip("."), network, port)
    if port is None and _is_loopback(entry):
        raise _bad(text, "a loopback address needs a port, such as localhost:5432")
    return entry


def literal(host: str) -> Address | None:
    """The address that `host` is, or None when it is a name."""
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None


def _split(text: str) -> tuple[str, int | None]:
    if literal(text) or "/" in text.rpartition(":")[2] or ":" not in text:
        return text, None
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise _bad(text, f"{port!r} is not a port")
    return host, int(port)


def _network(host: str) -> Network | None:
    try:
        return ipaddress.ip_network(host.strip("[]"))
    except ValueError as error:
        if "host bits" in str(error):
            raise _bad(host, str(error)) from error
        return None


def _is_loopback(entry: Entry) -> bool:
    if entry.host is not None:
        return entry.host == "localhost" or entry.host.endswith(".localhost")
    loopback = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
    net = entry.network
    return net is not None and any(net.version == other.version and net.overlaps(other) for other in loopback)


def _bad(text: str, why: str) -> BadSettings:
    return BadSettings(
        f"SCALEMESH_BUILD_EGRESS_ALLOW: {text!r}: {why}",
        hint="List host, host:port or CIDR entries separated by commas.",
        field="SCALEMESH_BUILD_EGRESS_ALLOW",
    )
