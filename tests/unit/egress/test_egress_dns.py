import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalemesh.egress import dns
from scalemesh.egress.names import Names


def packet(name: bytes, kind: int = dns.A, flags: int = 0x0100, questions: int = 1) -> bytes:
    return struct.pack("!6H", 7, flags, questions, 0, 0, 0) + name + struct.pack("!HH", kind, 1)


EXAMPLE = b"\x07eXample\x03org\x00"


def test_a_query_is_read() -> None:
    query = dns.parse(packet(EXAMPLE))
    assert (query.id, query.name, query.kind) == (7, "example.org", dns.A)


def test_an_answer_has_the_question_as_it_came_and_the_address() -> None:
    response = dns.answer(dns.parse(packet(EXAMPLE)), address=bytes([127, 192, 0, 1]))
    assert struct.unpack_from("!6H", response) == (7, 0x8180, 1, 1, 0, 0)
    assert EXAMPLE in response
    assert response.endswith(bytes([0, 4, 127, 192, 0, 1]))


def test_a_refusal_has_its_code_and_no_record() -> None:
    response = dns.answer(dns.parse(packet(EXAMPLE)), dns.NO_SUCH_NAME)
    assert struct.unpack_from("!6H", response) == (7, 0x8183, 1, 0, 0, 0)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"short",
        packet(EXAMPLE, flags=0x8000),
        packet(EXAMPLE, questions=2),
        packet(b"\x00"),
        packet(b"\xc0\x0c"),
        packet(b"\x03a.b\x00"),
        packet(b"\x03a\nb\x00"),
        packet(b"\x05abc")[:-2],
        packet((b"\x3f" + b"a" * 63) * 4 + b"\x00"),
        packet(EXAMPLE)[:-1],
    ],
)
def test_what_is_no_query_is_refused(data: bytes) -> None:
    with pytest.raises(dns.Malformed):
        dns.parse(data)


@given(st.binary(max_size=600))
def test_any_packet_is_read_or_refused(data: bytes) -> None:
    try:
        query = dns.parse(data)
    except dns.Malformed:
        return
    assert 0 < len(query.name) <= 253
    assert query.name == query.name.lower()


def test_names_keep_their_address() -> None:
    names = Names()
    first, second = names.add("a.test"), names.add("b.test")
    assert first != second
    assert names.add("a.test") == names.address("a.test") == first
    assert names.name(str(ipaddress.IPv4Address(first or b""))) == "a.test"
    assert names.name("10.0.0.1") == "10.0.0.1"


def test_names_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scalemesh.egress.names.MAX_NAMES", 1)
    names = Names()
    assert names.add("a.test")
    assert names.add("b.test") is None
