"""Request smuggling: what framing.py lists, at a real edge, answered by itself and passed on to an upstream."""

import re
from collections.abc import Iterator

import pytest

from tests.integration.edge.framing import ANSWERED, BAD_CHUNKS, HIDDEN, INVALID, REFUSED, get, post
from tests.integration.edge.harness import Wire
from tests.integration.edge.recorder import Recorder
from tests.integration.edge.upstreams import MB, ProxyingEdge

LAST = b"GET /api/last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
LONG = 4096  # in single bytes it would take long, and prove no more


@pytest.fixture(scope="module")
def recorder() -> Iterator[Recorder]:
    with Recorder() as recorder:
        yield recorder


@pytest.fixture(scope="module")
def edge(recorder: Recorder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxyingEdge]:
    rules = {
        "index.html": "home",
        "_redirects": f"/api/* http://127.0.0.1:{recorder.port}/:splat 200",
        "netlify.toml": f"""
            [[redirects]]
            from = "/named/*"
            to = "http://127.0.0.1:{recorder.port}/:splat"
            status = 200
            headers = {{X-From = "the site"}}
        """,
    }
    allow = {"SCALEMESH_EDGE_PROXY_ALLOW": f"127.0.0.1:{recorder.port}"}
    edge = ProxyingEdge(tmp_path_factory.mktemp("site"), lambda _: rules, **allow)
    yield edge
    edge.stop()


@pytest.fixture
def wire(edge: ProxyingEdge, recorder: Recorder) -> Iterator[Wire]:
    recorder.forget()
    with edge.connect() as wire:
        yield wire


def send(wire: Wire, data: bytes, *, in_bytes: bool = False) -> None:
    """An edge that has answered already may no longer take the rest."""
    try:
        for piece in [data[at : at + 1] for at in range(len(data))] if in_bytes else [data]:
            wire.send(piece)
    except ConnectionError:
        return


def statuses(wire: Wire) -> list[int]:
    """Of all answers until the end of the connection."""
    received = b""
    while data := wire.socket.recv(MB):
        received += data
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]


def names(cases: dict[str, tuple[int, bytes]], longest: int) -> list[str]:
    return [name for name, (_, raw) in cases.items() if len(raw) < longest]


class TestRefused:
    """One refusal, then the end; neither the request nor the one behind it is seen by anybody."""

    @pytest.mark.parametrize("target", [b"/", b"/api/"], ids=["own", "passed-on"])
    @pytest.mark.parametrize("name", REFUSED)
    def test_in_one_piece(self, wire: Wire, recorder: Recorder, name: str, target: bytes) -> None:
        status, raw = REFUSED[name]
        send(wire, raw.replace(b"TARGET", target) + HIDDEN)
        assert (statuses(wire), recorder.raw) == ([status], [])

    @pytest.mark.parametrize("name", names(REFUSED, LONG))
    def test_in_single_bytes(self, wire: Wire, recorder: Recorder, name: str) -> None:
        status, raw = REFUSED[name]
        send(wire, raw.replace(b"TARGET", b"/api/"), in_bytes=True)
        assert (statuses(wire), recorder.raw) == ([status], [])

    @pytest.mark.parametrize("name", ["cl-te", "te-twice", "field-bare-cr", "line-tab"])
    def test_behind_another_request(self, wire: Wire, recorder: Recorder, name: str) -> None:
        status, raw = REFUSED[name]
        send(wire, get().replace(b"TARGET", b"/api/first") + raw.replace(b"TARGET", b"/api/") + HIDDEN)
        assert (statuses(wire), recorder.requests) == ([200, status], [(b"GET", b"/first", b"")])


@pytest.mark.parametrize("target", [b"/", b"/api/"], ids=["own", "passed-on"])
@pytest.mark.parametrize("name", INVALID)
def test_invalid(wire: Wire, recorder: Recorder, name: str, target: bytes) -> None:
    send(wire, INVALID[name].replace(b"TARGET", target) + LAST)
    assert (statuses(wire), recorder.requests) == ([400, 200], [(b"GET", b"/last", b"")])


class TestAnswered:
    @pytest.mark.parametrize("name", ANSWERED)
    def test_by_the_edge(self, wire: Wire, name: str) -> None:
        raw, _ = ANSWERED[name]
        send(wire, raw.replace(b"TARGET", b"/") + LAST)
        assert statuses(wire) == [405 if raw.startswith(b"POST") else 200, 200]

    @pytest.mark.parametrize("in_bytes", [False, True], ids=["one-piece", "single-bytes"])
    @pytest.mark.parametrize("name", ANSWERED)
    def test_by_the_upstream(self, wire: Wire, recorder: Recorder, name: str, in_bytes: bool) -> None:
        raw, body = ANSWERED[name]
        send(wire, raw.replace(b"TARGET", b"/api/") + LAST, in_bytes=in_bytes)
        assert statuses(wire) == [200, 200]
        method = b"POST" if raw.startswith(b"POST") else b"GET"
        assert (recorder.requests, recorder.broken) == ([(method, b"/", body), (b"GET", b"/last", b"")], [])


class TestBytesToTheUpstream:
    def test_are_these(self, wire: Wire, recorder: Recorder) -> None:
        hop = (
            b"Connection: close, X-Hop",
            b"X-Hop: 1",
            b"Keep-Alive: timeout=5",
            b"Proxy-Connection: keep-alive",
            b"Proxy-Authorization: Basic eDp5",
            b"TE: trailers, chunked",
            b"Trailer: X-Trailer",
            b"Upgrade: h2c",
            b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
            b"Expect: 100-continue",
        )
        said = (
            b"X-Forwarded-For: 6.6.6.6",
            b"X_Forwarded_For: 6.6.6.6",
            b"Transfer_Encoding: chunked",
            b"X-Real-IP: 6",
        )
        raw = post(b"Content-Length: 005", b"X: \t a b \t ", *hop, *said, body=b"abcde")
        send(wire, raw.replace(b"TARGET", b"/api/a%20b?c=d"))
        assert statuses(wire) == [200]
        assert [bytes(raw) for raw in recorder.raw] == [
            b"POST /a%%20b?c=d HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nx: a b\r\nX-Forwarded-For: 127.0.0.1\r\n"
            b"X-Forwarded-Host: x\r\nX-Forwarded-Proto: http\r\nVia: 1.1 scalemesh\r\nContent-Length: 5\r\n\r\nabcde"
            % recorder.port
        ]

    def test_what_the_site_says_takes_the_place_of_what_the_client_says(self, wire: Wire, recorder: Recorder) -> None:
        send(wire, get(b"Connection: close", b"X-From: me", b"x-FROM: me").replace(b"TARGET", b"/named/"))
        assert statuses(wire) == [200]
        assert recorder.raw[0].lower().count(b"x-from") == recorder.raw[0].count(b"\r\nX-From: the site\r\n") == 1

    def test_chunks_are_made_anew(self, wire: Wire, recorder: Recorder) -> None:
        body = b"0005;a=b\r\nabcde\r\n0;c\r\nX-Trailer: y\r\n\r\n"
        send(wire, post(b"Transfer-Encoding: ChUnKeD", b"Connection: close", body=body).replace(b"TARGET", b"/api/"))
        assert statuses(wire) == [200]
        head, _, rest = bytes(recorder.raw[0]).partition(b"\r\n\r\n")
        assert (rest, head.count(b"Transfer-Encoding: chunked")) == (b"5\r\nabcde\r\n0\r\n\r\n", 1)

    def test_host_of_an_absolute_target_counts(self, wire: Wire, recorder: Recorder) -> None:
        send(wire, b"GET http://right/api/ HTTP/1.1\r\nHost: wrong\r\nConnection: close\r\n\r\n")
        assert statuses(wire) == [200]
        assert b"\r\nX-Forwarded-Host: right\r\n" in recorder.raw[0]
        assert b"wrong" not in recorder.raw[0]


class TestBadChunks:
    @pytest.mark.parametrize("name", BAD_CHUNKS)
    def test_thrown_away(self, wire: Wire, name: str) -> None:
        send(wire, post(b"Transfer-Encoding: chunked", body=BAD_CHUNKS[name]).replace(b"TARGET", b"/") + HIDDEN)
        assert statuses(wire) == [400]

    @pytest.mark.parametrize("name", BAD_CHUNKS)
    def test_passed_on(self, wire: Wire, recorder: Recorder, name: str) -> None:
        """The upstream already has a part of the body, and sees the connection end within it."""
        wire.send(post(b"Transfer-Encoding: chunked", body=b"5\r\nfirst\r\n").replace(b"TARGET", b"/api/"))
        recorder.until_seen(b"5\r\nfirst\r\n")
        send(wire, BAD_CHUNKS[name] + HIDDEN)
        assert statuses(wire) == [400]
        recorder.until_broken()
        assert recorder.requests == []

    @pytest.mark.parametrize("target", [b"/", b"/api/"], ids=["own", "passed-on"])
    @pytest.mark.parametrize("piece", [b"a" * 16_384, b"X: %b\r\n" % (b"a" * 16_384)], ids=["extension", "trailers"])
    def test_endless(self, wire: Wire, recorder: Recorder, piece: bytes, target: bytes) -> None:
        begun = b"5;" if piece.startswith(b"a") else b"5\r\nabcde\r\n0\r\n"
        send(wire, post(b"Transfer-Encoding: chunked", body=begun).replace(b"TARGET", target))
        for _ in range(100):
            send(wire, piece)
        assert (statuses(wire), recorder.requests) == ([431], [])


@pytest.mark.parametrize("target", [b"/", b"/api/"], ids=["own", "passed-on"])
def test_http_2_is_not_spoken_and_nothing_behind_the_question_is_read(
    wire: Wire, recorder: Recorder, target: bytes
) -> None:
    asked = get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA")
    send(wire, asked.replace(b"TARGET", target) + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HIDDEN)
    assert statuses(wire) == [200]
    assert recorder.requests == ([] if target == b"/" else [(b"GET", b"/", b"")])


def test_an_old_client_that_expects_to_be_told_is_not(wire: Wire) -> None:
    """RFC 9110 §10.1.1: it would take the 100 for its answer."""
    wire.send(b"POST /api/ HTTP/1.0\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    wire.send(b"ab")
    assert statuses(wire) == [200]
