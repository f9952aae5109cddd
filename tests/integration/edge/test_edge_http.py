"""HTTP semantics and edge cases, by raw sockets against a real worker (through `preview`)."""

import gzip
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import brotli
import pytest

from tests.integration.edge.harness import DEADLINE_S, Answer, Wire, free_port

PAGE = b"<h1>Hello</h1>\n" * 200
BIG = os.urandom(3_000_000)
FILES = {
    "index.html": PAGE,
    "about.html": b"about",
    "docs/index.html": b"docs",
    "docs/404.html": b"no such document",
    "404.html": b"no such page",
    "naïve file.txt": "ünïcode".encode(),
    "data.bin": bytes(range(256)) * 4,
    "big.bin": BIG,
    "empty.txt": b"",
}
HEAD = b" HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    folder = tmp_path_factory.mktemp("site")
    for name, data in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    port = free_port()
    code = "import sys; from pathlib import Path; from scalemesh.main.preview import preview;"
    code += "preview(Path(sys.argv[1]), int(sys.argv[2]), lambda address: print(address, flush=True))"
    process = subprocess.Popen([sys.executable, "-c", code, folder, str(port)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == f"http://localhost:{port}\n"
    yield port
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=DEADLINE_S) == 0
    process.stdout.close()


def get(port: int, path: str, *, method: str = "GET", **headers: str) -> Answer:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    with Wire(port) as wire:
        wire.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
        return wire.answer(method=method)


def answers(port: int, raw: bytes, count: int) -> list[Answer]:
    with Wire(port) as wire:
        wire.send(raw)
        return [wire.answer() for _ in range(count)]


def refusal(port: int, raw: bytes) -> int:
    """The status of the one answer, after which the connection has to end."""
    with Wire(port) as wire:
        wire.send(raw)
        answer = wire.answer()
        assert answer.headers["connection"] == "close"
        assert wire.closed()
        return answer.status


class TestFiles:
    @pytest.mark.parametrize(
        ("path", "status", "body"),
        [
            ("/", 200, PAGE),
            ("/about", 200, b"about"),
            ("/about.html", 200, b"about"),
            ("/docs", 200, b"docs"),
            ("/docs/", 200, b"docs"),
            ("/docs/none/here", 404, b"no such document"),
            ("/none", 404, b"no such page"),
            ("/na%C3%AFve%20file.txt", 200, "ünïcode".encode()),
            ("/nai%CC%88ve%20file.txt", 200, "ünïcode".encode()),
            ("/docs/../about", 200, b"about"),
            ("/?q=1", 200, PAGE),
            ("/empty.txt", 200, b""),
            ("/big.bin", 200, BIG),
        ],
    )
    def test_get(self, port: int, path: str, status: int, body: bytes) -> None:
        for _ in range(2):  # cold, then from memory
            answer = get(port, path)
            assert (answer.status, answer.body) == (status, body)

    @pytest.mark.parametrize("path", ["/../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/%00", "/%zz", "/%c0%af"])
    def test_no_path_leaves_the_site(self, port: int, path: str) -> None:
        assert get(port, path).status == 400

    def test_headers(self, port: int) -> None:
        headers = get(port, "/").headers
        assert headers["content-type"] == "text/html; charset=utf-8"
        assert headers["etag"] == f'"{hashlib.sha256(PAGE).hexdigest()}"'
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["vary"] == "Accept-Encoding"
        assert headers["cache-control"] == "public, max-age=0, must-revalidate"
        assert headers["accept-ranges"] == "bytes"
        assert time.strptime(headers["date"], "%a, %d %b %Y %H:%M:%S GMT")

    @pytest.mark.parametrize("path", ["/", "/big.bin", "/none"])
    def test_head_has_the_headers_of_get_and_no_body(self, port: int, path: str) -> None:
        with Wire(port) as wire:
            wire.send(f"HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\nGET /about HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            head = wire.answer(method="HEAD")
            assert wire.answer().body == b"about"
        whole = get(port, path)
        head.headers.pop("date")
        whole.headers.pop("date")
        assert (head.status, head.headers) == (whole.status, whole.headers)

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
    def test_other_methods(self, port: int, method: str) -> None:
        answer = get(port, "/", method=method)
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")

    def test_options(self, port: int) -> None:
        for target in ("/", "*"):
            answer = get(port, target, method="OPTIONS")
            assert (answer.status, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS")
            assert "content-length" not in answer.headers


class TestCodings:
    def test_variants_decode_to_the_same_bytes(self, port: int) -> None:
        br, zipped = get(port, "/", Accept_Encoding="br"), get(port, "/", Accept_Encoding="gzip")
        assert (br.headers["content-encoding"], brotli.decompress(br.body)) == ("br", PAGE)
        assert (zipped.headers["content-encoding"], gzip.decompress(zipped.body)) == ("gzip", PAGE)
        assert get(port, "/", Accept_Encoding="zstd").headers["content-encoding"] == "zstd"

    def test_etag_is_the_hash_of_the_bytes_sent(self, port: int) -> None:
        for coding in ("br", "zstd", "gzip", "identity"):
            answer = get(port, "/", Accept_Encoding=coding)
            assert answer.headers["etag"] == f'"{hashlib.sha256(answer.body).hexdigest()}"'

    def test_weights_rule(self, port: int) -> None:
        assert get(port, "/", Accept_Encoding="br;q=0.1, gzip").headers["content-encoding"] == "gzip"
        assert "content-encoding" not in get(port, "/", Accept_Encoding="br;q=0").headers

    def test_404_page_is_compressed_too_but_never_conditional(self, port: int) -> None:
        answer = get(port, "/none", If_None_Match="*")
        assert answer.status == 404


class TestConditions:
    def test_304_has_no_body_and_the_connection_goes_on(self, port: int) -> None:
        etag = get(port, "/").headers["etag"]
        request = b"GET /" + HEAD + f"If-None-Match: {etag}\r\n\r\n".encode()
        first, second = answers(port, request + b"GET /about" + HEAD + b"\r\n", 2)
        assert (first.status, first.headers["etag"], first.headers["vary"]) == (304, etag, "Accept-Encoding")
        assert second.body == b"about"

    def test_tag_of_another_coding_does_not_match(self, port: int) -> None:
        etag = get(port, "/", Accept_Encoding="br").headers["etag"]
        assert get(port, "/", If_None_Match=etag).status == 200
        assert get(port, "/", If_None_Match=etag, Accept_Encoding="br").status == 304

    def test_412(self, port: int) -> None:
        assert get(port, "/", If_Match='"other"').status == 412

    @pytest.mark.parametrize(("path", "whole"), [("/data.bin", FILES["data.bin"]), ("/big.bin", BIG)])
    def test_ranges_in_memory_and_from_a_file(self, port: int, path: str, whole: bytes) -> None:
        size = len(whole)
        for field, start, end in (
            ("0-0", 0, 1),
            ("5-9", 5, 10),
            (f"{size - 2}-", size - 2, size),
            ("-3", size - 3, size),
        ):
            answer = get(port, path, Range=f"bytes={field}")
            assert (answer.status, answer.body) == (206, whole[start:end])
            assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{size}"

    def test_416(self, port: int) -> None:
        answer = get(port, "/data.bin", Range="bytes=99999-")
        assert (answer.status, answer.headers["content-range"]) == (416, "bytes */1024")

    @pytest.mark.parametrize(("path", "whole"), [("/data.bin", FILES["data.bin"]), ("/big.bin", BIG)])
    def test_several_ranges_are_parts(self, port: int, path: str, whole: bytes) -> None:
        answer = get(port, path, Range="bytes=-3,0-1,500-599,550-600")
        kind, _, boundary = answer.headers["content-type"].partition("; boundary=")
        assert (answer.status, kind) == (206, "multipart/byteranges")
        assert "content-range" not in answer.headers
        parts = answer.body.split(b"\r\n--" + boundary.encode())
        assert parts[0] == b""
        assert parts[-1] == b"--\r\n"
        size = len(whole)
        for part, start, end in zip(parts[1:-1], (0, 500, size - 3), (2, 601, size), strict=True):
            head, _, body = part.partition(b"\r\n\r\n")
            assert b"\r\nContent-Range: bytes %d-%d/%d" % (start, end - 1, size) in head
            assert body == whole[start:end]

    def test_several_ranges_too_large_for_memory_give_all(self, port: int) -> None:
        answer = get(port, "/big.bin", Range="bytes=0-999999,2000000-2999999")
        assert (answer.status, answer.body) == (200, BIG)

    def test_head_ignores_ranges(self, port: int) -> None:
        answer = get(port, "/data.bin", method="HEAD", Range="bytes=0-3")
        assert (answer.status, answer.headers["content-length"]) == (200, "1024")

    def test_range_is_of_the_identity_coding(self, port: int) -> None:
        answer = get(port, "/", Range="bytes=0-3", Accept_Encoding="br")
        assert (answer.status, answer.body) == (206, PAGE[:4])
        assert "content-encoding" not in answer.headers

    def test_if_range_of_another_file_gives_all(self, port: int) -> None:
        assert get(port, "/data.bin", Range="bytes=0-3", If_Range='"other"').body == FILES["data.bin"]


class TestConnections:
    def test_pipelined_requests_are_answered_in_order(self, port: int) -> None:
        paths = ["/about", "/big.bin", "/", "/none", "/big.bin", "/docs"]
        bodies = [b"about", BIG, PAGE, b"no such page", BIG, b"docs"]
        raw = b"".join(b"GET " + path.encode() + HEAD + b"\r\n" for path in paths)
        assert [answer.body for answer in answers(port, raw, 6)] == bodies

    def test_a_request_in_single_bytes(self, port: int) -> None:
        with Wire(port) as wire:
            for byte in b"GET /about" + HEAD + b"Accept: */*\r\n\r\n":
                wire.send(bytes([byte]))
            assert wire.answer().body == b"about"

    def test_http_1_0_closes_unless_asked_not_to(self, port: int) -> None:
        with Wire(port) as wire:
            wire.send(b"GET /about HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert wire.answer().headers["connection"] == "keep-alive"
            wire.send(b"GET /about HTTP/1.0\r\n\r\n")
            assert wire.answer().headers["connection"] == "close"
            assert wire.closed()

    def test_connection_close_is_honoured(self, port: int) -> None:
        assert refusal(port, b"GET /" + HEAD + b"Connection: close\r\n\r\n") == 200

    def test_client_that_stops_sending_gets_its_answers(self, port: int) -> None:
        with Wire(port) as wire:
            wire.send((b"GET /big.bin" + HEAD + b"\r\n") * 2)
            wire.socket.shutdown(1)
            assert [wire.answer().body, wire.answer().body] == [BIG, BIG]
            assert wire.closed()

    def test_upgrade_is_not_taken_and_ends_the_connection(self, port: int) -> None:
        raw = b"GET /about" + HEAD + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\nhello"
        with Wire(port) as wire:
            wire.send(raw)
            assert wire.answer().body == b"about"
            assert wire.closed()

    def test_small_body_is_read_over(self, port: int) -> None:
        raw = b"GET /about" + HEAD + b"Content-Length: 38\r\n\r\nGET /docs HTTP/1.1\r\nHost: inside.body\r\n\r\n"[:-2]
        assert [a.body for a in answers(port, raw + b"GET /" + HEAD + b"\r\n", 2)] == [b"about", PAGE]

    def test_chunked_body_is_read_over_and_trailers_are_dropped(self, port: int) -> None:
        chunks = b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nHost: evil\r\nIf-None-Match: *\r\n\r\n"
        first, second = answers(port, b"GET /about" + HEAD + chunks + b"GET /docs" + HEAD + b"\r\n", 2)
        assert (first.status, first.body, second.status, second.body) == (200, b"about", 200, b"docs")

    def test_absolute_form(self, port: int) -> None:
        (answer,) = answers(port, b"GET http://other.example/about?x HTTP/1.1\r\nHost: x\r\n\r\n", 1)
        assert answer.body == b"about"

    def test_a_slow_reader_gets_everything(self, port: int) -> None:
        with Wire(port, receive_buffer=4096) as wire:
            wire.send((b"GET /big.bin" + HEAD + b"\r\n") * 3 + (b"GET /" + HEAD + b"\r\n") * 100)
            assert [hashlib.sha256(wire.answer().body).digest() for _ in range(3)] == [hashlib.sha256(BIG).digest()] * 3
            assert all(wire.answer().body == PAGE for _ in range(100))

    def test_a_client_that_leaves_in_the_middle_harms_nobody(self, port: int) -> None:
        for _ in range(20):
            with Wire(port, receive_buffer=4096) as wire:
                wire.send(b"GET /big.bin" + HEAD + b"\r\n")
                wire.socket.recv(10)
        assert get(port, "/about").body == b"about"


class TestStrictness:
    @pytest.mark.parametrize(
        "raw",
        [
            b"POST /" + HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"POST /" + HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
            b"POST /" + HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
            b"POST /" + HEAD + b"Content-Length: +3\r\n\r\nabc",
            b"POST /" + HEAD + b"Content-Length: 3, 3\r\n\r\nabc",
            b"POST /" + HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
            b"POST /" + HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
            b"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"POST /" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n",
            b"POST /" + HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
            b"GET /" + HEAD + b"Host: y\r\n\r\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\nHost: x\n\n",
            b"GET /" + HEAD + b"X: a\nY: b\r\n\r\n",
            b"GET /" + HEAD + b"X: a\r\n folded\r\n\r\n",
            b"GET /" + HEAD + b"X: a\rY: b\r\n\r\n",
            b"GET /" + HEAD + b"X: a\x00b\r\n\r\n",
            b"GET /" + HEAD + b"X : a\r\n\r\n",
            b"GET about HTTP/1.1\r\nHost: x\r\n\r\n",
            b"GET * HTTP/1.1\r\nHost: x\r\n\r\n",
            b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n",
            b"get / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ],
    )
    def test_refused_with_400(self, port: int, raw: bytes) -> None:
        assert refusal(port, raw) == 400

    @pytest.mark.parametrize(
        ("raw", "status"),
        [
            (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
            (b"GET / HTTP/0.9\r\nHost: x\r\n\r\n", 505),
            (b"GET /\r\n\r\n", 505),
            (b"POST /" + HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
            (b"GET /" + b"a" * 9000 + HEAD + b"\r\n", 414),
            (b"GET /" + HEAD + b"X: " + b"a" * 40000 + b"\r\n\r\n", 431),
            (b"GET /" + HEAD + b"".join(b"X%d: a\r\n" % n for n in range(101)) + b"\r\n", 431),
            (b"GET /" + HEAD + b"X: a\r\n" * 200 + b"\r\n", 431),
            (b"POST /" + HEAD + b"Content-Length: 100000\r\n\r\n" + b"a" * 100000, 413),
            (b"POST /" + HEAD + b"Expect: 100-continue\r\nContent-Length: 10\r\n\r\n", 417),
        ],
    )
    def test_limits(self, port: int, raw: bytes, status: int) -> None:
        assert refusal(port, raw) == status

    @pytest.mark.parametrize("host", ["a b", "a/b", "a@b", "a:b", "a,b"])
    def test_no_such_host_can_be(self, port: int, host: str) -> None:
        (answer,) = answers(port, f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode(), 1)
        assert answer.status == 400

    def test_a_header_without_end_is_cut_off(self, port: int) -> None:
        with Wire(port) as wire:
            wire.send(b"GET /" + HEAD + b"X: ")
            for _ in range(3):
                wire.send(b"a" * 60_000)
            assert wire.answer().status == 431

    def test_a_refusal_comes_after_the_answers_before_it(self, port: int) -> None:
        raw = b"GET /big.bin" + HEAD + b"\r\n" + b"GET /about" + HEAD + b"\r\n" + b"NONSENSE\r\n\r\n"
        with Wire(port) as wire:
            wire.send(raw)
            assert [wire.answer().body, wire.answer().body] == [BIG, b"about"]
            assert wire.answer().status == 400
            assert wire.closed()

    def test_nothing_after_connection_close_is_answered(self, port: int) -> None:
        with Wire(port) as wire:
            wire.send(b"GET /about" + HEAD + b"Connection: close\r\n\r\n" + b"GET /docs" + HEAD + b"\r\n")
            assert wire.answer().body == b"about"
            assert wire.closed()

    @pytest.mark.parametrize(
        "before",
        [
            pytest.param(b"", id="alone", marks=pytest.mark.matrix),
            pytest.param(b"GET /about" + HEAD + b"\r\n", id="behind-a-request"),
        ],
    )
    def test_slowloris_is_ended_and_others_are_served(self, port: int, before: bytes) -> None:
        with Wire(port) as slow:
            slow.send(before + b"GET / HTTP/1.1\r\n")
            started = time.monotonic()
            assert get(port, "/about").body == b"about"
            assert not before or slow.answer().body == b"about"
            assert slow.answer().status == 408
            assert slow.closed()
            assert 9 <= time.monotonic() - started <= 14
