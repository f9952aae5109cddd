"""A real Git server for tests: `git http-backend` behind a small threaded HTTP server on loopback.

    with GitServer(tmp_path) as server:
        repository = server.repository("site", {"index.html": "hello"})
        repository.url, repository.commit({"index.html": "changed"})

It can also ask for a password, redirect, and hang, as the servers of this world do.
"""

import base64
import http.client
import os
import subprocess
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from scalemesh.testing.git_repository import ENV, BareRepository

_FORWARDED = ("Authorization", "Content-Type", "Accept")


class GitServer:
    """Serves every repository under `root` at `http://127.0.0.1:<port>/<name>.git`.

    `lfs`: name → the server that its Git LFS questions are forwarded to.
    """

    def __init__(self, root: Path, host: str = "127.0.0.1") -> None:
        self.root = root
        self.passwords: dict[str, str] = {}
        self.redirects: dict[str, str] = {}
        self.hanging: set[str] = set()
        self.lfs: dict[str, str] = {}
        self.requests: list[str] = []
        self.authorizations: list[str] = []
        self.request_seen = threading.Event()
        self.stopping = threading.Event()
        self._http = _Server((host, 0), _Handler)
        self._http.git = self
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def port(self) -> int:
        return int(self._http.server_address[1])

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def url(self, name: str) -> str:
        return f"http://{self.address}/{name}.git"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(10)

    def repository(
        self, name: str, files: Mapping[str, str | bytes] | None = None, *, branch: str = "main", password: str = ""
    ) -> BareRepository:
        """A new repository with one commit of `files` (None: empty), in place of an earlier one of that name.

        `password` is `user:password`, asked for.
        """
        repository = BareRepository(self.root / f"{name}.git", self.url(name))
        repository.create(branch)
        if files is not None:
            repository.commit(files, message="First commit", branch=branch)
        if password:
            self.passwords[name] = password
        return repository

    def redirect(self, name: str, target: str) -> str:
        """A URL that redirects every request to `target` + the rest of its path."""
        self.redirects[name] = target
        return self.url(name)

    def hang(self, name: str) -> str:
        """A URL that accepts requests and never answers; `request_seen` is set by the first."""
        self.hanging.add(name)
        return self.url(name)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    git: GitServer


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 — the name is the base class's
        """Silent: a test reads `requests` instead."""

    def _answer(self) -> None:
        git, self.close_connection = self.server.git, True
        name, _, rest = self.path.lstrip("/").partition(".git")
        git.requests.append(self.path)
        git.authorizations.append(self.headers.get("Authorization", ""))
        git.request_seen.set()
        if name in git.hanging:
            git.stopping.wait(600)
        elif rest.startswith("/info/lfs/") and name in git.lfs:
            self._forward(git.lfs[name] + rest)
        elif name in git.redirects:
            self._plain(302, {"Location": git.redirects[name] + rest})
        elif not self._allowed(git.passwords.get(name, "")):
            self._plain(401, {"WWW-Authenticate": 'Basic realm="git"'})
        else:
            self._backend()

    def _allowed(self, password: str) -> bool:
        expected = "Basic " + base64.b64encode(password.encode()).decode()
        return not password or self.headers.get("Authorization") == expected

    def _plain(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": "0", "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()

    def _forward(self, target: str) -> None:
        kept = {name: value for name in _FORWARDED if (value := self.headers.get(name))}
        parts = urlsplit(target)
        connection = http.client.HTTPConnection(parts.netloc, timeout=10)
        try:
            connection.request(self.command, parts.path, self._body(), kept)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        self.send_response(response.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _backend(self) -> None:
        result = subprocess.run(
            ["git", "http-backend"], input=self._body(), env=self._cgi_env(), capture_output=True, check=False
        )
        head, _, body = result.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode("latin-1").split("\r\n") if ": " in line)
        self.send_response(int(headers.pop("Status", "200 OK").split()[0]))
        for name, value in {**headers, "Content-Length": str(len(body)), "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def _cgi_env(self) -> dict[str, str]:
        parts = urlsplit(self.path)
        return {
            **ENV,
            "GIT_PROJECT_ROOT": os.fspath(self.server.git.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            # The root may belong to another user than the one who tests.
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "PATH_INFO": parts.path,
            "QUERY_STRING": parts.query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REMOTE_ADDR": self.client_address[0],
        }
