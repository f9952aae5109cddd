"""Routes of the loopback interface: making an address local, so that connections to it arrive here."""

import ipaddress
import socket
import struct

_NEWROUTE, _DELROUTE = 24, 25
_REQUEST, _ACK, _CREATE, _REPLACE = 0x1, 0x4, 0x400, 0x100
_TABLE_LOCAL, _PROTOCOL_STATIC, _SCOPE_HOST, _TYPE_LOCAL = 255, 4, 254, 2
_RTA_DST, _RTA_OIF = 1, 4
_ERROR = 2


def add_local(network: str) -> None:
    """Every IPv4 address of `network` becomes one of ours. Needs CAP_NET_ADMIN over the network namespace."""
    _request(_NEWROUTE, _REQUEST | _ACK | _CREATE | _REPLACE, network)


def remove_local(network: str) -> None:
    _request(_DELROUTE, _REQUEST | _ACK, network)


def _request(kind: int, flags: int, network: str) -> None:
    parsed = ipaddress.IPv4Network(network)
    body = struct.pack(
        "BBBBBBBBI", socket.AF_INET, parsed.prefixlen, 0, 0, _TABLE_LOCAL, _PROTOCOL_STATIC, _SCOPE_HOST, _TYPE_LOCAL, 0
    )
    body += struct.pack("HH4s", 8, _RTA_DST, parsed.network_address.packed)
    body += struct.pack("HHI", 8, _RTA_OIF, socket.if_nametoindex("lo"))
    header = struct.pack("IHHII", 16 + len(body), kind, flags, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as sock:
        sock.send(header + body)
        reply = sock.recv(4096)
    if struct.unpack_from("H", reply, 4)[0] == _ERROR and (code := -struct.unpack_from("i", reply, 16)[0]):
        raise OSError(code, f"route to {network}")
