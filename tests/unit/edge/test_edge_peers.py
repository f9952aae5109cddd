"""What proxies in front of the edge say: addresses back to the first stranger, and the PROXY protocol's two headers."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalemesh.edge.peers import Peers, preface
from scalemesh.edge.request import Request
from scalemesh.errors import BadSettings

PEERS = Peers(["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"])
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def told(peer: str = "10.0.0.1", **headers: str) -> tuple[str, bytes, bytes]:
    fields = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    request = Request(b"GET", b"/", b"", fields, b"site.example", True)
    PEERS.tell(request, peer)
    return request.client, request.scheme, request.host


@pytest.mark.parametrize(
    ("chain", "client"),
    [
        ("", "10.0.0.1"),
        ("198.51.100.1", "198.51.100.1"),
        ("6.6.6.6, 198.51.100.1", "198.51.100.1"),
        ("198.51.100.1, 10.2.3.4", "198.51.100.1"),
        ("6.6.6.6, 198.51.100.1, 192.0.2.7, 10.2.3.4", "198.51.100.1"),
        ("198.51.100.1, not-an-address", "10.0.0.1"),
        ("198.51.100.1:4711", "198.51.100.1"),
        ("::ffff:198.51.100.1", "::ffff:198.51.100.1"),
        ("10.1.1.1", "10.1.1.1"),
    ],
)
def test_client_is_the_nearest_stranger(chain: str, client: str) -> None:
    assert told(x_forwarded_for=chain)[0] == client


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("for=198.51.100.1;proto=https;host=a.example", ("198.51.100.1", b"https", b"a.example")),
        ('For="[2600::17]:4711"; Proto=HTTPS', ("2600::17", b"https", b"site.example")),
        ("for=6.6.6.6;proto=http, for=198.51.100.1;proto=https", ("198.51.100.1", b"https", b"site.example")),
        ('for="_hidden", for=10.1.1.1', ("10.1.1.1", b"http", b"site.example")),
        ('for=unknown;host="a.example:8080"', ("10.0.0.1", b"http", b"a.example:8080")),
        ("nonsense,;;=", ("10.0.0.1", b"http", b"site.example")),
    ],
)
def test_forwarded(header: str, expected: tuple[str, bytes, bytes]) -> None:
    assert told(forwarded=header, x_forwarded_proto="ignored") == expected


def test_scheme_and_host_of_the_older_fields() -> None:
    assert told(x_forwarded_proto="https", x_forwarded_host="b.example") == ("10.0.0.1", b"https", b"b.example")
    assert told(x_forwarded_proto="gopher")[1] == b"http"


def test_a_strangers_word_counts_for_nothing() -> None:
    said = {"forwarded": "for=1.1.1.1;proto=https;host=evil.example", "x_forwarded_for": "1.1.1.1"}
    assert told("198.51.100.9", **said) == ("198.51.100.9", b"http", b"site.example")


@pytest.mark.parametrize("entry", ["ten", "10.0.0.0/40", "example.com"])
def test_what_is_no_network_is_refused(entry: str) -> None:
    with pytest.raises(BadSettings, match="SCALEMESH_EDGE_TRUSTED"):
        Peers([entry])


def second(command: int, family: int, body: bytes) -> bytes:
    return SIGNATURE + bytes([command, family]) + len(body).to_bytes(2, "big") + body


V4 = ipaddress.ip_address("198.51.100.1").packed
V6 = ipaddress.ip_address("2600::17").packed
HEADERS = [
    (b"PROXY TCP4 198.51.100.1 10.0.0.1 4711 80\r\n", "198.51.100.1"),
    (b"PROXY TCP6 2600::17 ::1 4711 80\r\n", "2600::17"),
    (b"PROXY UNKNOWN\r\n", ""),
    (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", ""),
    (second(0x21, 0x11, V4 * 2 + b"\x00\x01\x00\x02"), "198.51.100.1"),
    (second(0x21, 0x21, V6 * 2 + b"\x00\x01\x00\x02" + b"\x04\x00\x01x"), "2600::17"),
    (second(0x20, 0x00, b""), ""),
    (second(0x21, 0x31, b"\x00" * 216), ""),
]


@pytest.mark.parametrize(("header", "client"), HEADERS)
def test_preface_is_read_once_it_is_whole(header: bytes, client: str) -> None:
    assert preface(header + b"GET / HTTP/1.1\r\n") == (client, len(header))
    assert [preface(header[:end]) for end in range(len(header))] == [None] * len(header)


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"POST", b"\r\nGET"])
def test_a_request_is_no_preface(data: bytes) -> None:
    assert preface(data) == ("", 0)


@pytest.mark.parametrize(
    "data",
    [
        b"PROXY TCP4 198.51.100.1\r\n",
        b"PROXY TCP4 nobody 10.0.0.1 1 2\r\n",
        b"PROXY TCP9 1.1.1.1 1.1.1.1 1 2\r\n",
        b"PROXY \xff\r\n",
        b"PROXY " + b"x" * 200,
        second(0x11, 0x11, V4 * 2),
        second(0x21, 0x11, b"\x00"),
    ],
)
def test_malformed_preface_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  whatever it says, the connection ends
        preface(data)


@given(st.one_of(st.binary(max_size=60), st.binary(max_size=40).map(lambda data: b"PROXY " + data)))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        found = preface(data)
    except ValueError:
        return
    assert found is None or 0 <= found[1] <= len(data)


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_fields_are_borne(forwarded: str, chain: str) -> None:
    told(forwarded=forwarded)
    told(x_forwarded_for=chain, x_forwarded_proto=forwarded, x_forwarded_host=chain)
