"""What must hold whatever comes in: over bytes from hypothesis (in `make test`) and from atheris (`make fuzz`)."""

import asyncio
import hashlib
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import httptools

from scalemesh.core.build import BlobRef
from scalemesh.core.manifest import Entry, Manifest
from scalemesh.core.routes import Route
from scalemesh.edge.access import Access
from scalemesh.edge.blobfiles import BlobFiles
from scalemesh.edge.fleet import KeepAlive
from scalemesh.edge.index import Generation, IndexReader, IndexWriter
from scalemesh.edge.parts import PartReader
from scalemesh.edge.protocol import Connection
from scalemesh.edge.request import Request
from scalemesh.edge.serving import Serving
from scalemesh.edge.upstream.target import ProxyLimits
from scalemesh.edge.worker import Worker
from scalemesh.rules.check import fault
from scalemesh.rules.decide import decide
from scalemesh.rules.matching import Ready
from scalemesh.rules.matching import Request as RuledRequest
from scalemesh.rules.read import FLAVOURS, RULE_FILES, read_rules
from scalemesh.rules.targets import parse_path
from tests.rules_cases import ENTRY, parse

PATHS = ["/index.html", "/a.txt", "/a/index.html", "/404.html"]
RULES = {
    "vercel.json": json.dumps(
        {
            "cleanUrls": True,
            "redirects": [
                {"source": "/old/:path*", "destination": "/new/:path*"},
                {"source": "/q", "has": [{"type": "query", "key": "x", "value": "(?<v>.*)"}], "destination": "/:v"},
                {"source": "/c", "has": [{"type": "cookie", "key": "n"}], "destination": "https://e.example/:n"},
            ],
            "rewrites": [{"source": "/((?!api/).*)", "destination": "/index.html"}],
            "headers": [{"source": "/(.*).txt", "headers": [{"key": "X-T", "value": "$1"}]}],
        }
    )
}
NAMES = sorted(RULE_FILES)


class _Transport(asyncio.Transport):
    """Takes everything at once."""

    def __init__(self) -> None:
        super().__init__()
        self.out = b""
        self.closed = False

    def write(self, data: Any) -> None:
        assert not self.closed, f"written after the end: {data!r}"
        self.out += bytes(data)

    def writelines(self, parts: Any) -> None:
        self.write(b"".join(parts))

    def write_eof(self) -> None:
        return

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        return

    def resume_reading(self) -> None:
        return

    def get_write_buffer_size(self) -> int:
        return 0


class RequestPath:
    """A worker on a small site, without sockets: `feed` is one connection."""

    def __init__(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="scalemesh-fuzz-"))
        files, index = BlobFiles(folder / "blobs"), IndexWriter(folder / "index.db")
        rules = parse(RULES, *PATHS).rules
        index.add_manifest("t", "m", Manifest(files={path: self._entry(files, path) for path in PATHS}, rules=rules))
        ref = BlobRef(sha256="m", size=1)
        index.apply([Route(host="s", version=1, team="t", project="p", manifest=ref)], 1)
        index.close()
        self._generation = Generation(folder / "generation")
        self._index = IndexReader(folder / "index.db")
        parts = PartReader(folder / "none.sock")
        self._serving = Serving(self._index, self._generation.view, files, _no_blob, parts.read, every_host="s")
        self._loop = asyncio.new_event_loop()
        self._worker = self._loop.run_until_complete(self._make(parts))

    async def _make(self, parts: PartReader) -> Worker:
        return Worker(self._serving, parts, ProxyLimits(), Access(lambda _: None, 10), KeepAlive())

    @staticmethod
    def _entry(files: BlobFiles, path: str) -> Entry:
        data = path.encode() * 100
        ref = BlobRef(sha256=hashlib.sha256(data).hexdigest(), size=len(data))
        place = files.path("t", ref.sha256)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        return Entry(identity=ref, gzip=ref, type="text/plain")

    def feed(self, *pieces: bytes) -> list[int]:
        """The statuses of what was answered. Raises what should never be: AssertionError, or an error of the edge."""
        asked: list[bytes] = []
        transport, connection = _Transport(), _Watched(self._worker, asked)
        connection.connection_made(transport)
        for piece in filter(None, pieces):
            if not transport.closed:
                connection.data_received(piece)
        for tick in (1, 100, 200):  # every deadline passes
            if not transport.closed:
                connection.check(self._worker.tick + tick)
        connection.connection_lost(None)
        self._worker.access.flush()
        statuses = _statuses(transport.out, asked)
        assert 500 not in statuses, pieces
        return statuses

    def close(self) -> None:
        self._index.close()
        self._generation.close()
        self._loop.close()


class _Watched(Connection):
    """Tells which methods were asked for, without which no answer's end can be known."""

    def __init__(self, worker: Worker, asked: list[bytes]) -> None:
        super().__init__(worker)
        self._asked = asked

    def _handle(self, request: Request) -> None:
        self._asked.append(request.method)
        super()._handle(request)


async def _no_blob(team: str, ref: BlobRef) -> bool:
    return False


class _Answer:
    def __init__(self) -> None:
        self.whole = False

    def on_message_complete(self) -> None:
        self.whole = True


def _statuses(out: bytes, asked: list[bytes]) -> list[int]:
    """Of answers that are valid, whole, and follow one another without a byte between."""
    statuses = []
    methods = iter(asked)
    while out:
        head, end, rest = out.partition(b"\r\n\r\n")
        assert end, out
        status, answer = int(head.split(b" ")[1]), _Answer()
        bare = next(methods, b"") == b"HEAD" or status in {204, 304}
        sizes = [int(line.partition(b": ")[2]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")]
        size = 0 if bare else sizes[0]
        assert len(sizes) == 1 or (bare and not sizes), head
        assert len(rest) >= size, (head, len(rest))
        without = re.sub(rb"\r\nContent-Length: \d+", b"", head)
        httptools.HttpResponseParser(answer).feed_data(without + b"\r\nContent-Length: 0" + end)
        assert answer.whole, head
        statuses.append(status)
        out = rest[size:]
    return statuses


def read_any_rules(data: bytes) -> None:
    """The first byte chooses the files, the second the flavour; what is read must be what receipt lets pass."""
    if len(data) < 2:
        return
    name, flavour, text = NAMES[data[0] % len(NAMES)], FLAVOURS[data[1] % len(FLAVOURS)], data[2:]

    def read(wanted: str) -> bytes | None:
        return text if wanted == name else None

    parsed = read_rules(read, read, lambda path: path in PATHS, flavour)
    assert fault(parsed.rules) is None, (name, text)
    answer_any(parsed.rules, text)


def answer_any(rules: Any, data: bytes) -> None:
    """A decision's location and headers can stand in an answer, whatever was asked for."""
    path = parse_path(data[:200].split(b"\n")[0]) or "/"
    query = data[-20:].decode("latin-1")
    asked = RuledRequest(path=path, query=query, method="GET", host="s", headers={b"cookie": data[:50]})
    decision = decide(asked, dict.fromkeys(PATHS, ENTRY).get, Ready(rules))
    for value in (decision.location or "", *(value for _, value in decision.headers)):
        assert not set(value) & set("\r\n\0"), value
        value.encode("latin-1")
