"""Answers that proxies and clients have been known to read differently, or never to the end, from a site's upstream.

Whatever it says, the client gets one answer, framed by the edge, or sees that there is none; the next one is its own.
"""

import re
import socket
import time
from collections.abc import Iterator

import pytest

from tests.integration.edge.harness import Wire
from tests.integration.edge.upstreams import MB, Asked, ProxyingEdge, Upstream

EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def started() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def edge(started: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxyingEdge]:
    rules = {"index.html": "home", "_redirects": f"/api/* http://127.0.0.1:{started.port}/:splat 200"}
    limits = {"SCALEMESH_EDGE_PROXY_TIMEOUT": "4", "SCALEMESH_EDGE_PROXY_ALLOW": f"127.0.0.1:{started.port}"}
    edge = ProxyingEdge(tmp_path_factory.mktemp("site"), lambda _: rules, **limits)
    yield edge
    edge.stop()


@pytest.fixture
def upstream(started: Upstream) -> Upstream:
    started.asked.clear()
    return started


@pytest.fixture
def wire(edge: ProxyingEdge) -> Iterator[Wire]:
    with edge.connect() as wire:
        yield wire


def ask(wire: Wire, path: str = "/api/", *lines: str, method: str = "GET") -> None:
    wire.send("\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *lines, "", ""]).encode())


def says(upstream: Upstream, raw: bytes) -> None:
    """And hangs up: nothing more is to be waited for."""

    def answer(asked: Asked) -> None:
        asked.send(raw)
        asked.connection.shutdown(socket.SHUT_WR)

    upstream.answer = answer


def everything(wire: Wire) -> bytes:
    """Until the end, be it a reset."""
    received = b""
    try:
        while data := wire.socket.recv(MB):
            received += data
    except ConnectionResetError:
        pass
    return received


# Not HTTP, or in two minds about where the answer ends: the client is told 502, and nothing of it.
REFUSED: dict[str, bytes] = {
    "nothing": b"",
    "half-a-line": b"HTTP/1.1 20",
    "half-a-head": OK + b"X: a\r\n",
    "http-0.9": b"<html>EVIL</html>",
    "http-2": b"HTTP/2 200 OK\r\nContent-Length: 0\r\n\r\n",
    "version-1.10": b"HTTP/1.10 200 OK\r\nContent-Length: 0\r\n\r\n",
    "status-of-two": b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
    "status-of-four": b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
    "status-600": b"HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n",
    "status-099": b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n",
    "status-signed": b"HTTP/1.1 +20 OK\r\nContent-Length: 0\r\n\r\n",
    "cl-twice": OK + b"Content-Length: 4\r\nContent-Length: 0\r\n\r\nEVIL",
    "cl-list": OK + b"Content-Length: 4, 0\r\n\r\nEVIL",
    "cl-plus": OK + b"Content-Length: +4\r\n\r\nEVIL",
    "cl-minus": OK + b"Content-Length: -4\r\n\r\nEVIL",
    "cl-hex": OK + b"Content-Length: 0x4\r\n\r\nEVIL",
    "cl-empty": OK + b"Content-Length:\r\n\r\nEVIL",
    "cl-endless": OK + b"Content-Length: " + b"9" * 40 + b"\r\n\r\nEVIL",
    "te-gzip": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n4\r\nEVIL\r\n0\r\n\r\n",
    "te-identity": OK + b"Transfer-Encoding: identity\r\n\r\nEVIL",
    "te-twice": OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nEVIL\r\n0\r\n\r\n",
    "te-parameter": OK + b"Transfer-Encoding: chunked;a=b\r\n\r\n4\r\nEVIL\r\n0\r\n\r\n",
    "space-before-colon": OK + b"Content-Length : 4\r\n\r\nEVIL",
    "name-space": OK + b"X Y: a\r\nContent-Length: 0\r\n\r\n",
    "name-empty": OK + b": a\r\nContent-Length: 0\r\n\r\n",
    "no-colon": OK + b"X\r\nContent-Length: 0\r\n\r\n",
    "nul": OK + b"X: a\x00b\r\nContent-Length: 0\r\n\r\n",
    "bare-cr": OK + b"X: a\rSet-Cookie: evil\r\nContent-Length: 0\r\n\r\n",
    "vertical-tab": OK + b"X: a\x0bb\r\nContent-Length: 0\r\n\r\n",
    "control": OK + b"X: \x1b[2J\r\nContent-Length: 0\r\n\r\n",
    "delete": OK + b"X: a\x7fb\r\nContent-Length: 0\r\n\r\n",
    "head-endless": OK + b"X: " + b"a" * 300_000,
    "fields-endless": OK + b"".join(b"X%d: a\r\n" % number for number in range(30_000)),
    "switch-unasked": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nEVIL",
    "interim-endless": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 20_000 + EVIL,
    "interim-only": b"HTTP/1.1 100 Continue\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(wire: Wire, upstream: Upstream, name: str) -> None:
    says(upstream, REFUSED[name])
    ask(wire)
    answer = wire.answer()
    assert (answer.status, b"EVIL" in answer.body) == (502, False)
    ask(wire, "/")
    assert wire.answer().body == b"home"


# Begun, and then in a way that cannot be finished: the client has to see that it is not whole.
BROKEN: dict[str, bytes] = {
    "cl-short": OK + b"Content-Length: 10\r\n\r\nabc",
    "chunks-cut": CHUNKED + b"3\r\nabc\r\n",
    "chunk-cut": CHUNKED + b"9\r\nabc",
    "no-last-line": CHUNKED + b"3\r\nabc\r\n0\r\n",
    "size-no-hex": CHUNKED + b"3\r\nabc\r\nzz\r\nEVIL\r\n0\r\n\r\n",
    "size-plus": CHUNKED + b"3\r\nabc\r\n+4\r\nEVIL\r\n0\r\n\r\n",
    "size-minus": CHUNKED + b"3\r\nabc\r\n-4\r\nEVIL\r\n0\r\n\r\n",
    "size-0x": CHUNKED + b"3\r\nabc\r\n0x4\r\nEVIL\r\n0\r\n\r\n",
    "size-huge": CHUNKED + b"3\r\nabc\r\n" + b"f" * 40 + b"\r\nEVIL\r\n0\r\n\r\n",
    "data-too-long": CHUNKED + b"3\r\nabcEVIL\r\n0\r\n\r\n",
    "extension-endless": CHUNKED + b"3\r\nabc\r\n1;" + b"a" * 300_000,
    "trailers-endless": CHUNKED + b"3\r\nabc\r\n0\r\n" + b"X: a\r\n" * 60_000,
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken(wire: Wire, upstream: Upstream, name: str) -> None:
    says(upstream, BROKEN[name])
    ask(wire)
    head, _, body = everything(wire).partition(b"\r\n\r\n")
    promised = re.search(rb"Content-Length: (\d+)", head)
    whole = len(body) == int(promised[1]) if promised else body.endswith(b"0\r\n\r\n")
    assert (whole, b"EVIL" in body) == (False, False)


class TestReframed:
    """What the client gets of an answer that can be understood: the edge's framing, and nothing that follows it."""

    @pytest.mark.parametrize(
        ("raw", "body"),
        [
            (OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + EVIL, b"abc"),
            (OK + b"transfer-encoding: Chunked\r\nCONTENT-LENGTH: 9\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + EVIL, b"abc"),
            (OK + b"Content-Length: 3\r\n\r\nabc" + EVIL, b"abc"),
            (OK + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc" + EVIL, b"abc"),
            (CHUNKED + b"3;x=y\r\nabc\r\n0\r\nX-T: 1\r\nContent-Length: 9\r\n\r\n" + EVIL, b"abc"),
            (OK + b"\r\nabc" + EVIL, b"abc" + EVIL),
            (b"HTTP/1.0 200 OK\r\n\r\nabc", b"abc"),
            (b"HTTP/1.1 200\r\nContent-Length: 3\r\n\r\nabc", b"abc"),
            (b"HTTP/1.1 103 Early Hints\r\nX: 1\r\n\r\n" * 3 + OK + b"Content-Length: 3\r\n\r\nabc", b"abc"),
        ],
    )
    def test_body(self, wire: Wire, upstream: Upstream, raw: bytes, body: bytes) -> None:
        says(upstream, raw)
        ask(wire, "/api/", "Connection: close")
        head, _, rest = everything(wire).partition(b"\r\n\r\n")
        chunked, length = b"Transfer-Encoding: chunked" in head, re.findall(rb"(?i)content-length: (\d+)", head)
        assert chunked != bool(length)
        assert (rest if length else _unchunked(rest)) == body
        assert length in ([], [b"%d" % len(body)])

    @pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
    def test_an_answer_that_has_no_body(self, wire: Wire, upstream: Upstream, status: bytes) -> None:
        says(upstream, b"HTTP/1.1 " + status + b"\r\nContent-Length: %d\r\n\r\n" % len(EVIL) + EVIL)
        ask(wire, "/api/", "Connection: close")
        head, _, rest = everything(wire).partition(b"\r\n\r\n")
        assert (head.startswith(b"HTTP/1.1 " + status), rest) == (True, b"")

    def test_fields(self, wire: Wire, upstream: Upstream) -> None:
        hop = (
            b"Connection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\nProxy-Authenticate: Basic\r\n"
            b'Trailer: X-T\r\nUpgrade: h2c\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nAlt-Svc: h3=":443"\r\n'
        )
        says(upstream, OK + hop + b"X: a\r\n folded\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n")
        ask(wire, "/api/", "Connection: close")
        _, *lines = everything(wire).split(b"\r\n")
        assert [line for line in lines if line and not line.startswith(b"Date: ")] == [
            b"X: a folded",
            b"Set-Cookie: a=1",
            b"Set-Cookie: b=2",
            b"Content-Length: 0",
            b"Connection: close",
        ]


@pytest.mark.matrix
class TestSlow:
    """Four seconds are given, here, to an answer's head as a whole, and to each pause within its body."""

    @pytest.mark.parametrize(
        "piece", [b"X: a\r\n", b"HTTP/1.1 102 Processing\r\n\r\n"], ids=["endless-head", "endless-interims"]
    )
    def test_dripping_for_ever(self, wire: Wire, upstream: Upstream, piece: bytes) -> None:
        upstream.answer = lambda asked: _drip(asked, piece)
        ask(wire)
        assert wire.answer().status in {502, 504}

    def test_silence_within_a_body(self, wire: Wire, upstream: Upstream) -> None:
        upstream.answer = _stop_within_the_body
        ask(wire)
        assert everything(wire).endswith(b"abc")


class TestWebSockets:
    LINES = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: a", "Sec-WebSocket-Version: 13")

    @pytest.mark.parametrize("upgrade", [b"", b"Upgrade: h2c\r\n", b"Upgrade: websocket, h2c\r\n"])
    def test_a_switch_to_something_else(self, wire: Wire, upstream: Upstream, upgrade: bytes) -> None:
        says(upstream, b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n" + upgrade + b"\r\nEVIL")
        ask(wire, "/api/", *self.LINES)
        answer = wire.answer()
        assert (answer.status, b"EVIL" in answer.body) == (502, False)


def _stop_within_the_body(asked: Asked) -> None:
    asked.send(OK + b"Content-Length: 9\r\n\r\nabc")
    asked.until_gone()


def _drip(asked: Asked, piece: bytes) -> None:
    if piece.startswith(b"X"):
        asked.send(OK)
    while True:
        asked.send(piece)
        time.sleep(0.05)


def _unchunked(raw: bytes) -> bytes:
    body = b""
    while True:
        size, _, raw = raw.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            assert raw == b"\r\n"
            return body
        body += raw[:length]
        assert raw[length : length + 2] == b"\r\n"
        raw = raw[length + 2 :]
