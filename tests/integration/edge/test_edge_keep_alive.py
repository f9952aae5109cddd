"""How long the edge keeps a connection, and that its end costs no answer."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.edge.harness import Wire
from tests.integration.edge.upstreams import MB, Asked, ProxyingEdge, Upstream

BIG = os.urandom(3 * MB).hex()
LIMIT = 3
IDLE_S = 3


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as started:
        started.answer = answer
        yield started


def answer(asked: Asked) -> None:
    if asked.line.startswith("GET /late "):
        time.sleep(IDLE_S + 2)
    asked.reply(b"up")


def edge_at(folder: Path, upstream: Upstream, **limits: str) -> ProxyingEdge:
    rules = f"/api/* http://127.0.0.1:{upstream.port}/:splat 200"
    environ = {f"SCALEMESH_EDGE_KEEPALIVE_{name}": value for name, value in limits.items()}
    allow = {"SCALEMESH_EDGE_PROXY_ALLOW": f"127.0.0.1:{upstream.port}"}
    files = {"index.html": "home", "big.html": BIG, "_redirects": rules}
    return ProxyingEdge(folder, lambda _: files, **environ, **allow)


@pytest.fixture(scope="module")
def edge(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxyingEdge]:
    edge = edge_at(tmp_path_factory.mktemp("site"), upstream, REQUESTS=str(LIMIT))
    yield edge
    edge.stop()


@pytest.fixture
def wire(edge: ProxyingEdge) -> Iterator[Wire]:
    with edge.connect() as wire:
        yield wire


def ask(path: str, *lines: str, method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", *lines, "", ""]).encode()


def ends(wire: Wire) -> tuple[bool, bytes]:
    """Whether the next answer says that it is the last, and its body."""
    answer = wire.answer()
    return answer.headers.get("connection") == "close", answer.body


class TestRequests:
    @pytest.mark.parametrize(("path", "body"), [("/", b"home"), ("/big", BIG.encode())], ids=["memory", "file"])
    def test_the_last_one_says_so(self, wire: Wire, path: str, body: bytes) -> None:
        for number in range(LIMIT):
            wire.send(ask(path))
            assert ends(wire) == (number == LIMIT - 1, body)
        assert wire.closed()

    def test_the_upstreams_count_too(self, wire: Wire) -> None:
        for number in range(LIMIT):
            wire.send(ask("/api/"))
            head, _, _ = _whole(wire).partition(b"\r\n\r\n")
            assert (b"Connection: close" in head) == (number == LIMIT - 1)
        assert wire.closed()

    def test_bodies_that_are_thrown_away_count_once(self, wire: Wire) -> None:
        for number in range(LIMIT):
            wire.send(ask("/", "Transfer-Encoding: chunked", method="POST") + b"2\r\nab\r\n0\r\n\r\n")
            assert ends(wire) == (number == LIMIT - 1, b"")
        assert wire.closed()

    @pytest.mark.parametrize("path", ["/", "/big", "/api/"], ids=["memory", "file", "upstream"])
    def test_requests_behind_the_last_one_are_not_answered_and_cost_no_answer(
        self, wire: Wire, upstream: Upstream, path: str
    ) -> None:
        upstream.asked.clear()
        wire.send(ask(path) * 40 + b"nonsense")
        received = _everything(wire)
        assert received.count(b"HTTP/1.1 200 OK\r\n") == LIMIT
        assert received.count({"/": b"home", "/big": BIG.encode(), "/api/": b"up"}[path]) == LIMIT
        assert len(upstream.asked) == (LIMIT if path == "/api/" else 0)

    def test_a_client_that_goes_on_sending_loses_nothing(self, wire: Wire) -> None:
        wire.send(ask("/") * LIMIT)
        for _ in range(50):
            wire.send(ask("/") * 100)
        assert _everything(wire).count(b"home") == LIMIT

    def test_a_client_that_never_ends_is_left(self, wire: Wire) -> None:
        wire.send(ask("/") * LIMIT)
        assert _everything(wire).count(b"home") == LIMIT
        with pytest.raises(OSError, match=r"reset|pipe"):
            _send_for_ever(wire)

    def test_an_old_client_is_not_promised_more(self, wire: Wire) -> None:
        for number in range(LIMIT):
            wire.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert wire.answer().headers["connection"] == ("close" if number == LIMIT - 1 else "keep-alive")
        assert wire.closed()

    def test_another_connection_counts_anew(self, edge: ProxyingEdge) -> None:
        for _ in range(LIMIT + 1):
            with edge.connect() as wire:
                wire.send(ask("/"))
                assert ends(wire) == (False, b"home")


class TestTime:
    @pytest.fixture
    def edge(self, upstream: Upstream, tmp_path: Path) -> Iterator[ProxyingEdge]:
        edge = edge_at(tmp_path, upstream, TIME="1", IDLE=str(IDLE_S))
        yield edge
        edge.stop()

    def test_the_answer_after_a_life_is_the_last(self, wire: Wire) -> None:
        last = False
        while not last:
            wire.send(ask("/"))
            last, body = ends(wire)
            assert body == b"home"
            time.sleep(0.05)
        assert wire.closed()

    @pytest.mark.parametrize("before", [b"", ask("/")], ids=["new", "used"])
    def test_idle_connections_end(self, wire: Wire, before: bytes) -> None:
        if before:
            wire.send(before)
            assert ends(wire) == (False, b"home")
        started = time.monotonic()
        assert wire.closed()
        assert time.monotonic() - started > IDLE_S - 1.5

    @pytest.mark.matrix
    def test_an_answer_under_way_is_not_idle(self, edge: ProxyingEdge, upstream: Upstream) -> None:
        with edge.connect() as wire:
            wire.send(ask("/api/late"))
            assert wire.answer().body == b"up"


def _send_for_ever(wire: Wire) -> None:
    while True:
        wire.send(b"x")
        time.sleep(0.1)


def _whole(wire: Wire) -> bytes:
    received = b""
    while not received.endswith(b"up"):
        received += wire.socket.recv(MB)
    return received


def _everything(wire: Wire) -> bytes:
    """Until the end; a reset would be an error."""
    received = bytearray()
    while data := wire.socket.recv(MB):
        received += data
    wire.socket.shutdown(socket.SHUT_RD)
    return bytes(received)
