"""A small real Git LFS server: the batch API, and the objects' own addresses."""

import base64
import gzip
import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class LfsServer:
    """`objects` by oid; `requests`: (method, path, headers, body). `faults` by oid: an HTTP status of its download.

    `location`: where downloads are redirected to. `header`: what is to be sent with them. `password`:
    `user:password`, which the batch API asks for.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.faults: dict[str, int] = {}
        self.location = ""
        self.href = ""
        self.header = {"X-Ticket": "valid"}
        self.is_compressed = False
        self.password = ""
        self._http = _Server(("127.0.0.1", 0), _Handler)
        self._http.lfs = self
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def add(self, content: bytes) -> str:
        """Keeps it; answers the pointer that belongs into the tree."""
        oid = hashlib.sha256(content).hexdigest()
        self.objects[oid] = content
        return pointer(content)

    def answer(self, name: str, body: bytes) -> dict[str, Any]:
        wanted = json.loads(body)["objects"]
        return {"transfer": "basic", "objects": [self._object(entry) for entry in wanted]}

    def _object(self, entry: dict[str, Any]) -> dict[str, Any]:
        if entry["oid"] not in self.objects:
            return {**entry, "error": {"code": 404, "message": "Object does not exist"}}
        href = self.href or f"{self.url}/objects/{entry['oid']}"
        return {**entry, "actions": {"download": {"href": href, "header": self.header}}}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(10)


def pointer(content: bytes) -> str:
    oid = hashlib.sha256(content).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    lfs: LfsServer


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        lfs, body = self.server.lfs, self.rfile.read(int(self.headers["Content-Length"]))
        lfs.requests.append(("POST", self.path, dict(self.headers), body))
        given = base64.b64encode(lfs.password.encode()).decode()
        if lfs.password and self.headers.get("Authorization") != f"Basic {given}":
            self._send(401, b"{}")
        else:
            self._send(200, json.dumps(lfs.answer(self.path, body)).encode())

    def do_GET(self) -> None:
        lfs, oid = self.server.lfs, self.path.rpartition("/")[2]
        lfs.requests.append(("GET", self.path, dict(self.headers), b""))
        if lfs.location:
            self._send(302, b"", Location=lfs.location)
        elif oid in lfs.faults:
            self._send(lfs.faults[oid], b"")
        elif self.headers.get("X-Ticket") != "valid":
            self._send(403, b"")
        elif lfs.is_compressed:
            self._send(200, gzip.compress(lfs.objects[oid]), **{"Content-Encoding": "gzip"})
        else:
            self._send(200, lfs.objects[oid])

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silent: a test reads `requests` instead."""
