"""Which addresses are the public internet."""

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_UNICAST = ipaddress.IPv6Network("2000::/3")  # all that has ever been given out; the rest is for special purposes
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NOT_PUBLIC = tuple(
    map(
        ipaddress.ip_network,
        (
            *("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4"),
            "3fff::/20",
        ),
    )
)
METADATA = tuple(
    map(
        ipaddress.ip_network,
        ("169.254.0.0/16", "100.100.100.200/32", "168.63.129.16/32", "fd00:ec2::/32", "fe80::/10"),
    )
)
"""Link-local, and where clouds answer with credentials to whoever asks (Azure's lies among public addresses)."""


def unwrap(address: Address) -> Address:
    """The IPv4 address inside an IPv6 one (mapped, compatible, 6to4, Teredo, NAT64), which is what is reached."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour or (address.teredo and address.teredo[1])
    if inner:
        return inner
    if address in _NAT64 or 1 < int(address) < 2**32:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def is_public(address: Address) -> bool:
    """Globally reachable unicast, whatever it is wrapped in."""
    inner = unwrap(address)
    if inner.version == 6 and inner not in _UNICAST:
        return False
    return inner.is_global and not inner.is_multicast and not within(inner, _NOT_PUBLIC) and not is_metadata(inner)


def is_metadata(address: Address) -> bool:
    return within(unwrap(address), METADATA)


def is_never(address: Address) -> bool:
    """Not an address of one machine that could be meant: unspecified, multicast, broadcast and other reserved ones."""
    inner = unwrap(address)
    return inner.is_unspecified or inner.is_multicast or within(inner, (_NOT_PUBLIC[0], _NOT_PUBLIC[5]))


def within(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address.version == net.version and address in net for net in networks)
