"""Proxies in front of the edge whose word is taken: the PROXY protocol, RFC 7239's Forwarded, and X-Forwarded-*.

From anybody else these fields are data of the client's, and count for nothing.
"""

import asyncio
import ipaddress
import re
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

from scalemesh.edge.request import Request
from scalemesh.errors import BadSettings

UNIX = "unknown"  # the address of whoever connects to a unix socket; RFC 7239's word
_V2 = b"\r\n\r\n\x00\r\nQUIT\n"  # https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt
_V1 = b"PROXY "
_V1_BYTES = 107
_V2_BYTES = 16 + 65535
_PAIR = re.compile(r'\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)=("(?:[^"\\]|\\.)*"|[^\s;,"]*)\s*')
_SCHEMES = (b"http", b"https")


class Peers:
    """`networks`: addresses and CIDRs, and `unix` for whoever may connect to the unix socket. Raises BadSettings."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._unix = "unix" in networks
        try:
            self._networks = [ipaddress.ip_network(each, strict=False) for each in networks if each != "unix"]
        except ValueError as error:
            raise BadSettings(
                f"SCALEMESH_EDGE_TRUSTED: {error}",
                hint="Give addresses or networks, by comma: 10.0.0.5,10.1.0.0/16,unix",
                field="SCALEMESH_EDGE_TRUSTED",
            ) from error
        self.trusts = lru_cache(maxsize=4096)(self._trusts)

    def _trusts(self, address: str) -> bool:
        if address == UNIX:
            return self._unix
        parsed = _address(address)
        return parsed is not None and any(parsed in network for network in self._networks)

    def client(self, chain: Sequence[str], peer: str) -> str:
        """The nearest address that is no proxy of ours, going back from the peer; what is no address ends the way."""
        found = peer
        for said in reversed(chain):
            if not self.trusts(found) or _address(said) is None:
                break
            found = said
        return found

    def tell(self, request: Request, peer: str) -> None:
        """Put into the request what is known of its client; from a peer that is no proxy of ours, the peer alone."""
        headers = request.headers
        request.client = peer
        if not self.trusts(peer):
            return
        if forwarded := headers.get(b"forwarded"):
            elements = [dict(_pairs(element)) for element in _elements(forwarded.decode("latin-1"))]
            request.client = self.client([_node(element.get("for", "")) for element in elements], peer)
            last = elements[-1] if elements else {}
            scheme, host = last.get("proto", "").lower().encode(), last.get("host", "").encode("latin-1")
        else:
            request.client = self.client(_listed(headers, b"x-forwarded-for"), peer)
            scheme, host = (_last(headers, name) for name in (b"x-forwarded-proto", b"x-forwarded-host"))
        if scheme in _SCHEMES:
            request.scheme = scheme
        if host:
            request.host = host


def peer_of(transport: asyncio.BaseTransport) -> str:
    """The address of who is connected; "" if that is gone."""
    peer = transport.get_extra_info("peername")
    if isinstance(peer, tuple):
        return str(peer[0])
    connected = transport.get_extra_info("socket")
    return UNIX if connected is not None and connected.family == socket.AF_UNIX else ""


def preface(data: bytes) -> tuple[str, int] | None:
    """The client's address ("": not told) and the bytes that said so, 0 where it is no PROXY header at all.

    None: it has not come whole. Raises ValueError for one that is malformed.
    """
    if data.startswith(_V1):
        return _first(data)
    if data.startswith(_V2):
        return _second(data)
    return None if _V1.startswith(data) or _V2.startswith(data) else ("", 0)


def _first(data: bytes) -> tuple[str, int] | None:
    end = data.find(b"\r\n", 0, _V1_BYTES)
    if end < 0:
        if len(data) >= _V1_BYTES:
            raise ValueError("a PROXY line without an end")
        return None
    words = data[:end].decode("ascii").split(" ")
    if words[1:2] == ["UNKNOWN"]:
        return "", end + 2
    if len(words) != 6 or words[1] not in {"TCP4", "TCP6"}:
        raise ValueError("a malformed PROXY line")
    return str(ipaddress.ip_address(words[2])), end + 2


def _second(data: bytes) -> tuple[str, int] | None:
    if len(data) < 16:
        return None
    command, family, length = struct.unpack_from("!BBH", data, 12)
    if len(data) < 16 + length:
        return None
    size = {0x11: 4, 0x21: 16}.get(family, 0)
    if command not in {0x20, 0x21} or (command == 0x21 and length < 2 * size):
        raise ValueError("a malformed PROXY header")
    told = command == 0x21 and size
    return (str(ipaddress.ip_address(data[16 : 16 + size])) if told else ""), 16 + length


def _elements(value: str) -> Iterator[str]:
    """Split at commas that are in no quotes."""
    yield from (element for element in re.findall(r'(?:"(?:[^"\\]|\\.)*"|[^,"])+', value) if element.strip())


def _pairs(element: str) -> Iterator[tuple[str, str]]:
    for part in re.findall(r'(?:"(?:[^"\\]|\\.)*"|[^;"])+', element):
        if match := _PAIR.fullmatch(part):
            value = match[2]
            yield match[1].lower(), re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def _node(text: str) -> str:
    """`192.0.2.1:80` and `[2001:db8::1]:80` without their ports."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def _listed(headers: Mapping[bytes, bytes], name: bytes) -> list[str]:
    return [_node(each.strip()) for each in headers.get(name, b"").decode("latin-1").split(",") if each.strip()]


def _last(headers: Mapping[bytes, bytes], name: bytes) -> bytes:
    return headers.get(name, b"").rpartition(b",")[2].strip().lower()


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return parsed.ipv4_mapped or parsed if isinstance(parsed, ipaddress.IPv6Address) else parsed
