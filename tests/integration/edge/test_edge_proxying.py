"""Rewrites to other sites through a real edge: what the upstream gets, what the client gets, and what each can do."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.edge.harness import DEADLINE_S, Answer, Wire
from tests.integration.edge.upstreams import MB, Asked, ProxyingEdge, Upstream

HEADERS = "/api/*\n  X-Rule: yes\n  Cache-Control: no-store\n"
LIMITS = {
    "SCALEMESH_EDGE_PROXY_CONCURRENCY": "6",
    "SCALEMESH_EDGE_PROXY_REQUEST": "1MB",
    "SCALEMESH_EDGE_PROXY_RESPONSE": "300MB",
    "SCALEMESH_EDGE_PROXY_TIMEOUT": "4",
}


@pytest.fixture(scope="module")
def started() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def edge(started: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxyingEdge]:
    def files(port: int) -> dict[str, str]:
        rules = (
            f"/api/*     http://127.0.0.1:{started.port}/:splat           200",
            f"/user/:id  http://localhost:{started.port}/u?id=:id         200",
            f"/loop/*    http://127.0.0.1:{port}/loop/:splat              200",
            "/private/*  http://127.0.0.1:1/:splat                        200",
            "/nowhere    http://127.0.0.1:2/                              200",
            "/metadata   http://169.254.169.254/latest                    200",
        )
        return {"index.html": "home", "_redirects": "\n".join(rules), "_headers": HEADERS}

    allow = f"127.0.0.1:{started.port},localhost:{started.port},127.0.0.1:{{port}},127.0.0.1:2"
    edge = ProxyingEdge(tmp_path_factory.mktemp("site"), files, SCALEMESH_EDGE_PROXY_ALLOW=allow, **LIMITS)
    yield edge
    edge.stop()


@pytest.fixture
def upstream(started: Upstream) -> Upstream:
    started.asked.clear()
    started.answer = lambda asked: asked.reply()
    return started


@pytest.fixture
def wire(edge: ProxyingEdge) -> Iterator[Wire]:
    with edge.connect() as wire:
        yield wire


def get(wire: Wire, path: str, *lines: str, method: str = "GET") -> Answer:
    ask(wire, path, *lines, method=method)
    return wire.answer(method=method)


def ask(wire: Wire, path: str, *lines: str, method: str = "GET", body: bytes = b"") -> None:
    wire.send("\r\n".join([f"{method} {path} HTTP/1.1", "Host: www.test:8080", *lines]).encode() + b"\r\n\r\n" + body)


def everything(wire: Wire) -> bytes:
    """All that comes until the end of the connection."""
    received = b""
    while data := wire.socket.recv(MB):
        received += data
    return received


class TestRequest:
    def test_target_is_the_rules(self, wire: Wire, upstream: Upstream) -> None:
        get(wire, "/api/a%20b/c?x=1&y=%26")
        get(wire, "/user/7%26admin=1")
        assert [asked.line for asked in upstream.asked] == [
            "GET /a%20b/c?x=1&y=%26 HTTP/1.1",
            "GET /u?id=7%26admin%3D1 HTTP/1.1",
        ]

    def test_fields(self, wire: Wire, upstream: Upstream) -> None:
        get(wire, "/api/", "Accept: a/b", "Cookie: s=1", "X-Forwarded-For: 6.6.6.6", "Forwarded: for=6.6.6.6")
        assert upstream.asked[0].fields == [
            ("host", f"127.0.0.1:{upstream.port}"),
            ("accept", "a/b"),
            ("cookie", "s=1"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-host", "www.test:8080"),
            ("x-forwarded-proto", "http"),
            ("via", "1.1 scalemesh"),
        ]

    def test_hop_by_hop_fields_stay_here(self, wire: Wire, upstream: Upstream) -> None:
        get(wire, "/api/", "Connection: keep-alive, X-Mine, Via", "X-Mine: 1", "TE: trailers", "Proxy-Authorization: x")
        names = {name for name, _ in upstream.asked[0].fields}
        assert not names & {"connection", "keep-alive", "x-mine", "te", "proxy-authorization"}
        assert "via" in names

    @pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
    def test_every_method(self, wire: Wire, upstream: Upstream, method: str) -> None:
        assert get(wire, "/api/", method=method).status == 200
        assert upstream.asked[0].line == f"{method} / HTTP/1.1"

    def test_body_with_length(self, wire: Wire, upstream: Upstream) -> None:
        upstream.answer = lambda asked: asked.reply(asked.body())
        ask(wire, "/api/", "Content-Length: 5", method="POST", body=b"hello")
        assert wire.answer().body == b"hello"

    def test_body_in_chunks_without_trailers(self, wire: Wire, upstream: Upstream) -> None:
        upstream.answer = lambda asked: asked.reply(asked.body())
        ask(
            wire,
            "/api/",
            "Transfer-Encoding: chunked",
            method="POST",
            body=b"3\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n",
        )
        assert (wire.answer().body, b"X-T" in upstream.asked[0].rest) == (b"abcde", False)

    def test_body_is_passed_on_as_it_comes(self, wire: Wire, upstream: Upstream) -> None:
        arrived = threading.Event()

        def answer(asked: Asked) -> None:
            while b"first" not in asked.rest:
                asked.rest += asked.connection.recv(100)
            arrived.set()
            asked.reply(asked.body())

        upstream.answer = answer
        ask(wire, "/api/", "Content-Length: 11", method="POST", body=b"first")
        assert arrived.wait(DEADLINE_S)
        wire.send(b"second")
        assert wire.answer().body == b"firstsecond"

    def test_requests_in_one_piece_are_answered_in_order(self, wire: Wire, upstream: Upstream) -> None:
        upstream.answer = lambda asked: asked.reply(asked.line.encode() + asked.body())
        ask(wire, "/api/1", "Content-Length: 1", method="POST", body=b"a")
        wire.send(
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\nPOST /api/2 HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nb"
            b"GET /api/3 HTTP/1.1\r\nHost: x\r\n\r\n"
        )
        assert [wire.answer().body for _ in range(4)] == [
            b"POST /1 HTTP/1.1a",
            b"home",
            b"POST /2 HTTP/1.1b",
            b"GET /3 HTTP/1.1",
        ]

    def test_a_large_body_behind_a_slow_request(self, wire: Wire, upstream: Upstream) -> None:
        go = threading.Event()

        def answer(asked: Asked) -> None:
            if "slow" in asked.line:
                assert go.wait(DEADLINE_S)
            asked.reply(str(len(asked.body())).encode())

        upstream.answer = answer
        ask(wire, "/api/slow")
        ask(wire, "/api/", "Content-Length: 900000", method="POST", body=b"x" * 100_000)
        go.set()
        wire.send(b"x" * 800_000)
        assert [wire.answer().body, wire.answer().body] == [b"0", b"900000"]

    def test_a_client_that_expects_it_is_told_to_go_on(self, wire: Wire, upstream: Upstream) -> None:
        upstream.answer = lambda asked: asked.reply(asked.body())
        ask(wire, "/api/", "Content-Length: 2", "Expect: 100-continue", method="POST")
        told = wire.socket.recv(100)
        wire.send(b"ok")
        assert (told, wire.answer().body) == (b"HTTP/1.1 100 Continue\r\n\r\n", b"ok")
        assert "expect" not in upstream.asked[0].headers

    def test_nobody_is_told_to_go_on_in_vain(self, wire: Wire, upstream: Upstream) -> None:
        ask(wire, "/private/", "Content-Length: 2", "Expect: 100-continue", method="POST")
        assert wire.answer().status == 502


class TestSmuggling:
    HIDDEN = b"GET /admin HTTP/1.1\r\nHost: x\r\n\r\n"

    @pytest.mark.parametrize("named", ["Content-Length", "Transfer-Encoding", "Host"])
    def test_connection_cannot_take_the_framing_away(self, wire: Wire, upstream: Upstream, named: str) -> None:
        upstream.answer = lambda asked: asked.reply(asked.body())
        length = f"Content-Length: {len(self.HIDDEN)}"
        ask(wire, "/api/", length, f"Connection: {named}", method="POST", body=self.HIDDEN)
        assert (wire.answer().body, len(upstream.asked)) == (self.HIDDEN, 1)

    def test_chunks_are_made_anew(self, wire: Wire, upstream: Upstream) -> None:
        upstream.answer = lambda asked: asked.reply(asked.body())
        body = b'%x;a="b"\r\n' % len(self.HIDDEN) + self.HIDDEN + b"\r\n0\r\n\r\n"
        ask(wire, "/api/", "Transfer-Encoding: chunked", method="POST", body=body)
        assert (wire.answer().body, b"a=" in upstream.asked[0].rest) == (self.HIDDEN, False)

    @pytest.mark.parametrize(
        "lines",
        [
            ("Content-Length: 3", "Transfer-Encoding: chunked"),
            ("Content-Length: 3", "Content-Length: 4"),
            ("Transfer-Encoding: xchunked",),
            ("Transfer-Encoding: chunked, identity",),
        ],
    )
    def test_doubtful_framing_reaches_no_upstream(self, wire: Wire, upstream: Upstream, lines: tuple[str, ...]) -> None:
        ask(wire, "/api/", *lines, method="POST", body=b"0\r\n\r\n")
        assert wire.answer().status == 400
        assert upstream.asked == []

    def test_a_body_that_breaks_off_is_never_made_whole(self, wire: Wire, upstream: Upstream) -> None:
        got, begun, ended = bytearray(), threading.Event(), threading.Event()

        def answer(asked: Asked) -> None:
            got.extend(asked.rest)
            begun.set()
            while data := asked.connection.recv(1000):
                got.extend(data)
            ended.set()

        upstream.answer = answer
        ask(wire, "/api/", "Transfer-Encoding: chunked", method="POST", body=b"3\r\nabc\r\n")
        assert begun.wait(DEADLINE_S)
        wire.send(b"nonsense\r\n0\r\n\r\n")
        assert wire.answer().status == 400
        assert wire.closed()
        assert ended.wait(DEADLINE_S)
        assert not got.endswith(b"0\r\n\r\n")

    def test_a_body_with_an_upgrade(self, wire: Wire, upstream: Upstream) -> None:
        lines = ("Connection: Upgrade", "Upgrade: websocket", f"Content-Length: {len(self.HIDDEN)}")
        ask(wire, "/api/", *lines, body=self.HIDDEN)
        assert (wire.answer().status, upstream.asked) == (400, [])


class TestAnswer:
    def test_fields(self, wire: Wire, upstream: Upstream) -> None:
        lines = (
            "Set-Cookie: a=1",
            "Set-Cookie: b=2",
            "Cache-Control: max-age=9",
            "Connection: X-Hop",
            "X-Hop: 1",
            "Alt-Svc: h3",
        )
        upstream.answer = lambda asked: asked.reply(b"body", *lines)
        ask(wire, "/api/")
        head = wire.socket.recv(65536).decode().split("\r\n\r\n")[0].split("\r\n")
        assert head[0] == "HTTP/1.1 200 OK"
        assert sorted(line for line in head[1:] if not line.startswith("Date: ")) == [
            "Cache-Control: no-store",
            "Content-Length: 4",
            "Set-Cookie: a=1",
            "Set-Cookie: b=2",
            "X-Rule: yes",
        ]

    def test_nothing_is_remembered(self, wire: Wire, upstream: Upstream) -> None:
        upstream.answer = lambda asked: asked.reply(str(len(upstream.asked)).encode(), "Cache-Control: max-age=99")
        assert [get(wire, "/api/x").body, get(wire, "/api/x").body] == [b"1", b"2"]

    @pytest.mark.parametrize("status", ["201 Created", "302 Found", "404 Not Found", "418 Teapot", "500 No", "599 Odd"])
    def test_status_is_the_upstreams(self, wire: Wire, upstream: Upstream, status: str) -> None:
        upstream.answer = lambda asked: asked.reply(b"x", "Location: /other", status=status)
        answer = get(wire, "/api/")
        assert (answer.status, answer.headers["location"]) == (int(status[:3]), "/other")

    def test_connection_to_the_upstream_is_kept(self, wire: Wire, upstream: Upstream) -> None:
        get(wire, "/api/")
        before = upstream.accepted
        get(wire, "/api/")
        assert upstream.accepted == before

    def test_interim_answers_are_dropped(self, wire: Wire, upstream: Upstream) -> None:
        def answer(asked: Asked) -> None:
            asked.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            asked.reply(b"x")

        upstream.answer = answer
        assert get(wire, "/api/").status == 200

    def test_head_has_the_length_and_no_body(self, wire: Wire, upstream: Upstream) -> None:
        upstream.answer = lambda asked: asked.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
        assert get(wire, "/api/", method="HEAD").headers["content-length"] == "9"
        assert get(wire, "/", method="HEAD").status == 200

    @pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
    def test_no_body_where_there_is_none(self, wire: Wire, upstream: Upstream, status: str) -> None:
        upstream.answer = lambda asked: asked.send(f"HTTP/1.1 {status}\r\nETag: x\r\n\r\n".encode())
        assert get(wire, "/api/").status == int(status[:3])
        assert get(wire, "/").body == b"home"

    def test_body_of_unknown_length_comes_in_chunks(self, wire: Wire, upstream: Upstream) -> None:
        upstream.answer = lambda asked: asked.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc")
        ask(wire, "/api/close", "Connection: close")
        head, _, body = everything(wire).partition(b"\r\n\r\n")
        assert (b"Transfer-Encoding: chunked" in head, body) == (True, b"3\r\nabc\r\n0\r\n\r\n")

    def test_chunks_become_chunks(self, wire: Wire, upstream: Upstream) -> None:
        raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n"
        upstream.answer = lambda asked: asked.send(raw)
        ask(wire, "/api/", "Connection: close")
        head, _, body = everything(wire).partition(b"\r\n\r\n")
        assert (b"Transfer-Encoding: chunked" in head, body) == (True, b"3\r\nabc\r\n0\r\n\r\n")

    def test_an_old_client_gets_no_chunks(self, wire: Wire, upstream: Upstream) -> None:
        raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        upstream.answer = lambda asked: asked.send(raw)
        wire.send(b"GET /api/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        head, _, body = everything(wire).partition(b"\r\n\r\n")
        assert (b"Transfer-Encoding" in head, b"Connection: close" in head, body) == (False, True, b"abc")

    def test_answer_is_passed_on_as_it_comes(self, wire: Wire, upstream: Upstream) -> None:
        seen = threading.Event()

        def answer(asked: Asked) -> None:
            asked.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
            assert seen.wait(DEADLINE_S)
            asked.send(b"later")

        upstream.answer = answer
        ask(wire, "/api/")
        received = b""
        while not received.endswith(b"first"):
            received += wire.socket.recv(1000)
        seen.set()
        assert wire.socket.recv(1000) == b"later"

    def test_an_answer_before_the_body_is_whole(self, wire: Wire, upstream: Upstream) -> None:
        def answer(asked: Asked) -> None:
            asked.reply(b"no", "Connection: close", status="401 Unauthorized")
            asked.connection.shutdown(socket.SHUT_RDWR)

        upstream.answer = answer
        ask(wire, "/api/", "Content-Length: 1000000", method="POST", body=b"x" * 1000)
        threading.Thread(target=_keep_sending, args=(wire, b"x" * 999_000), daemon=True).start()
        assert wire.answer().status in {401, 502}


def _keep_sending(wire: Wire, data: bytes) -> None:
    """The edge may hang up before it has taken all."""
    try:
        wire.send(data)
    except OSError:
        return


class TestHostileUpstream:
    @pytest.mark.parametrize(
        "raw",
        [
            b"nonsense\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 0\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"X: " + b"a" * 200_000,
            b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n",
        ],
        ids=["no-http", "two-lengths", "coding", "control", "unasked-switch", "endless-head", "too-large"],
    )
    def test_bad_answers_are_502(self, wire: Wire, upstream: Upstream, raw: bytes) -> None:
        upstream.answer = lambda asked: asked.send(raw)
        assert get(wire, "/api/").status == 502
        assert get(wire, "/").body == b"home"

    def test_length_and_chunks_at_once_are_framed_anew(self, wire: Wire, upstream: Upstream) -> None:
        raw = b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        upstream.answer = lambda asked: asked.send(raw)
        ask(wire, "/api/", "Connection: close")
        head, _, body = everything(wire).partition(b"\r\n\r\n")
        assert (b"Content-Length" in head, body) == (False, b"3\r\nabc\r\n0\r\n\r\n")

    def test_bytes_behind_an_answer_are_nobodys(self, wire: Wire, upstream: Upstream) -> None:
        extra = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL"
        upstream.answer = lambda asked: asked.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + extra)
        assert [get(wire, "/api/").body for _ in range(3)] == [b"ok", b"ok", b"ok"]
        assert get(wire, "/api/", method="POST").status == 502

    def test_a_body_of_a_head_is_nobodys(self, wire: Wire, upstream: Upstream) -> None:
        raw = b"HTTP/1.1 200 OK\r\nContent-Length: 39\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nE"
        upstream.answer = lambda asked: asked.send(raw) if asked.line.startswith("HEAD") else asked.reply(b"right")
        get(wire, "/api/", method="HEAD")
        assert get(wire, "/api/").body == b"right"

    def test_a_kept_connection_that_ended_is_replaced(self, wire: Wire, upstream: Upstream) -> None:
        upstream.answer = lambda asked: asked.reply(b"x")
        get(wire, "/api/close")
        assert get(wire, "/api/").body == b"x"

    def test_an_answer_cut_short_is_cut_short(self, wire: Wire, upstream: Upstream) -> None:
        def answer(asked: Asked) -> None:
            asked.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
            asked.connection.shutdown(socket.SHUT_RDWR)

        upstream.answer = answer
        ask(wire, "/api/")
        received = b""
        try:
            while data := wire.socket.recv(1000):
                received += data
        except ConnectionResetError:
            pass
        assert not received.endswith(b"0\r\n\r\n")

    def test_silence_is_504(self, wire: Wire, upstream: Upstream) -> None:
        upstream.answer = Asked.until_gone
        assert get(wire, "/api/").status == 504

    @pytest.mark.matrix
    def test_a_head_that_drips_is_504(self, wire: Wire, upstream: Upstream) -> None:
        def answer(asked: Asked) -> None:
            asked.send(b"HTTP/1.1 200 OK\r\n")
            while not stop.wait(0.2):
                asked.send(b"X: y\r\n")

        stop = threading.Event()
        upstream.answer = answer
        assert get(wire, "/api/").status == 504
        stop.set()

    @pytest.mark.parametrize("path", ["/private/", "/metadata", "/nowhere"])
    def test_what_may_not_or_cannot_be_reached_is_502(self, wire: Wire, path: str) -> None:
        answer = get(wire, path)
        assert (answer.status, answer.headers["cache-control"], b"127.0.0.1" in answer.body) == (502, "no-store", False)

    def test_a_loop_is_508(self, wire: Wire) -> None:
        assert get(wire, "/loop/x").status == 508


class TestLimits:
    def test_requests_of_one_team_at_a_time(self, edge: ProxyingEdge, upstream: Upstream) -> None:
        go, inside = threading.Event(), threading.Semaphore(0)

        def answer(asked: Asked) -> None:
            inside.release()
            asked.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            while not go.wait(0.2):
                asked.send(b"1\r\nx\r\n")
            asked.send(b"0\r\n\r\n")

        upstream.answer = answer
        wires = [edge.connect() for _ in range(6)]
        try:
            for wire in wires:
                ask(wire, "/api/", "Connection: close")
                assert inside.acquire(timeout=DEADLINE_S)
            with edge.connect() as another:
                assert (get(another, "/api/").status, get(another, "/").status) == (503, 200)
            go.set()
            assert {everything(wire)[:12] for wire in wires} == {b"HTTP/1.1 200"}
        finally:
            for wire in wires:
                wire.close()

    @pytest.mark.parametrize("line", ["Content-Length: 2000000", "Transfer-Encoding: chunked"])
    def test_body_too_large(self, wire: Wire, upstream: Upstream, line: str) -> None:
        upstream.answer = Asked.until_gone
        chunk = b"%x\r\n" % (MB + 1) + b"x" * (MB + 1)
        ask(wire, "/api/", line, method="POST")
        threading.Thread(target=_keep_sending, args=(wire, chunk), daemon=True).start()
        assert wire.answer().status == 413

    def test_a_slow_reader_costs_no_memory(self, edge: ProxyingEdge, upstream: Upstream) -> None:
        stalled, size = threading.Event(), 200 * MB

        def answer(asked: Asked) -> None:
            asked.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            asked.connection.settimeout(1)
            sent = 0
            while sent < size:
                try:
                    sent += asked.connection.send(bytes(min(MB, size - sent)))
                except TimeoutError:
                    stalled.set()
                    asked.connection.settimeout(DEADLINE_S)

        upstream.answer = answer
        with edge.connect() as first:
            get(first, "/")
        before = edge.peak_bytes()
        with edge.connect(receive_buffer=4096) as wire:
            ask(wire, "/api/")
            assert stalled.wait(DEADLINE_S)
            received = len(wire.socket.recv(1000).partition(b"\r\n\r\n")[2])
            while received < size:
                received += len(wire.socket.recv(MB))
        assert edge.peak_bytes() - before < 24 * MB

    @pytest.mark.matrix
    def test_an_upstream_that_does_not_read_stops_the_client(self, edge: ProxyingEdge, upstream: Upstream) -> None:
        gone = threading.Event()

        def answer(_: Asked) -> None:
            assert gone.wait(DEADLINE_S)

        upstream.answer = answer
        with edge.connect() as wire:
            ask(wire, "/api/", "Content-Length: 1000000", method="POST", body=b"x" * 1_000_000)
            assert wire.answer().status == 504
        gone.set()


class TestEnds:
    def test_clients_that_leave_with_their_answers_leave_nothing_busy(
        self, edge: ProxyingEdge, upstream: Upstream
    ) -> None:
        """More of them than there may be connections, each gone while its exchange is being put away."""
        upstream.answer = lambda asked: asked.reply(b"x")
        for _ in range(100):
            with edge.connect() as wire:
                assert get(wire, "/api/").body == b"x"

    def test_a_client_that_goes_takes_the_upstream_with_it(self, edge: ProxyingEdge, upstream: Upstream) -> None:
        inside, gone = threading.Event(), threading.Event()

        def answer(asked: Asked) -> None:
            inside.set()
            asked.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            try:
                while not gone.wait(0.1):
                    asked.send(b"x")
            except OSError:
                gone.set()

        upstream.answer = answer
        with edge.connect() as wire:
            ask(wire, "/api/")
            assert inside.wait(DEADLINE_S)
        assert gone.wait(DEADLINE_S)

    def test_stopping_lets_answers_finish(self, upstream: Upstream, tmp_path: Path) -> None:
        inside, go = threading.Event(), threading.Event()

        def answer(asked: Asked) -> None:
            asked.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
            inside.set()
            assert go.wait(DEADLINE_S)
            asked.send(b"cd")

        upstream.answer = answer
        rule = {"index.html": "home", "_redirects": f"/* http://127.0.0.1:{upstream.port}/ 200!"}
        edge = ProxyingEdge(tmp_path, lambda _: rule, SCALEMESH_EDGE_PROXY_ALLOW=f"127.0.0.1:{upstream.port}")
        with edge.connect() as wire:
            ask(wire, "/")
            assert inside.wait(DEADLINE_S)
            stopping = threading.Thread(target=edge.stop)
            stopping.start()
            go.set()
            assert wire.answer().body == b"abcd"
            stopping.join()
