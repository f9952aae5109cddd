"""The request path under requests of any kind, whole and in pieces; `make fuzz` goes on where this stops."""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.targets import RequestPath

METHODS = st.sampled_from([b"GET", b"HEAD", b"POST", b"OPTIONS", b"PUT", b"get", b"PRI"])
PATHS = b"/ /a.txt /a /old/x/y?z=%0d%0a /q?x=%2f%2fe.example /c /none * http://s/a.txt /%00 /../a /a/./b //e.example"
TARGETS = st.sampled_from([*PATHS.split(), b"/\xff", b"/" + b"x" * 9000])
FIELDS = st.sampled_from(
    [
        b"Host: s",
        b"Host: t",
        b"Range: bytes=0-4",
        b"Range: bytes=1-2,5-,-3",
        b"If-None-Match: *",
        b"If-Match: x",
        b"Connection: close",
        b"Connection: upgrade",
        b"Connection: keep-alive",
        b"Upgrade: websocket",
        b"Content-Length: 3",
        b"Content-Length: 5",
        b"Transfer-Encoding: chunked",
        b"Accept-Encoding: gzip, *;q=0",
        b"Cookie: n=%0d",
        b"X: " + b"y" * 5000,
        b"X : y",
        b" folded",
        b"A\x00: b",
    ]
)
BODIES = st.sampled_from(
    [b"", b"abc", b"3\r\nabc\r\n0\r\n\r\n", b"0\r\nX: y\r\n\r\n", b"zz\r\n", b"GET / HTTP/1.1\r\n\r\n"]
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    version = draw(st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/0.9", b""]))
    lines = [b" ".join([draw(METHODS), draw(TARGETS), version]), b"Host: s", *draw(st.lists(FIELDS, max_size=4))]
    return draw(st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n"])).join([*lines, b"", b""]) + draw(BODIES)


STREAMS = st.lists(requests(), min_size=1, max_size=4).map(b"".join) | st.binary(max_size=300)


@pytest.fixture(scope="module")
def path() -> Iterator[RequestPath]:
    made = RequestPath()
    yield made
    made.close()


def test_the_target_sees_answers(path: RequestPath) -> None:
    get = b"GET /a.txt HTTP/1.1\r\nHost: s\r\n\r\n"
    assert path.feed(get + get.replace(b"GET", b"HEAD") + b"GET / HTTP/9.9\r\n\r\n") == [200, 200, 400]


@given(st.lists(st.binary(max_size=40), max_size=4), STREAMS, st.lists(st.integers(0, 400), max_size=4))
def test_every_answer_is_valid(path: RequestPath, noise: list[bytes], stream: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(edges) if start < end]
    path.feed(*pieces, *noise)


@given(STREAMS, st.integers(1, 60))
def test_pieces_change_nothing(path: RequestPath, stream: bytes, size: int) -> None:
    pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
    assert in_time(path.feed(*pieces)) == in_time(path.feed(stream))


def in_time(statuses: list[int]) -> list[int]:
    """Without the 408: a method alone, behind a whole request in the same piece, is closed without a word."""
    return [status for status in statuses if status != 408]
