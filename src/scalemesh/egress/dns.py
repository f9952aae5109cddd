"""Just enough DNS to be asked for addresses (RFC 1035): one question in, one answer out."""

import struct
from dataclasses import dataclass

A, AAAA = 1, 28
OK, FORMAT_ERROR, SERVER_FAILED, NO_SUCH_NAME = 0, 1, 2, 3
TTL_S = 60
_HEADER = struct.Struct("!6H")
_RESPONSE, _RECURSION_AVAILABLE, _OPCODE_AND_RD = 0x8000, 0x0080, 0x7900
_MAX_NAME = 253


class Malformed(ValueError):
    """Not a query that has one question; nothing to answer."""


@dataclass(frozen=True)
class Query:
    """One question. `name` is lower case and has no trailing dot; `question` is its bytes as they came."""

    id: int
    flags: int
    name: str
    kind: int
    question: bytes


def parse(packet: bytes) -> Query:
    """Raises Malformed; never reads a compressed name (a question has none)."""
    if len(packet) < _HEADER.size:
        raise Malformed("short")
    ident, flags, questions, *_ = _HEADER.unpack_from(packet)
    if flags & _RESPONSE or questions != 1:
        raise Malformed("not one question")
    name, end = _name(packet, _HEADER.size)
    if len(packet) < end + 4:
        raise Malformed("short question")
    kind, _class = struct.unpack_from("!HH", packet, end)
    return Query(ident, flags, name, kind, packet[_HEADER.size : end + 4])


def answer(query: Query, code: int = OK, address: bytes | None = None) -> bytes:
    """The response: `address` (4 bytes) as the one A record, or none at all."""
    flags = _RESPONSE | _RECURSION_AVAILABLE | (query.flags & _OPCODE_AND_RD) | code
    head = _HEADER.pack(query.id, flags, 1, 1 if address else 0, 0, 0)
    record = struct.pack("!HHHIH", 0xC00C, A, 1, TTL_S, 4) + address if address else b""
    return head + query.question + record


def _name(packet: bytes, start: int) -> tuple[str, int]:
    labels: list[str] = []
    position = start
    while True:
        if position >= len(packet):
            raise Malformed("name without end")
        length = packet[position]
        if length == 0:
            break
        label = packet[position + 1 : position + 1 + length]
        if length > 63 or len(label) < length or not all(0x21 <= c < 0x7F and c != 0x2E for c in label):
            raise Malformed("label")
        labels.append(label.decode().lower())
        position += 1 + length
    name = ".".join(labels)
    if not name or len(name) > _MAX_NAME:
        raise Malformed("name")
    return name, position + 1
