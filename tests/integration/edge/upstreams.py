"""An upstream that does exactly what a test says, byte by byte; and an edge in front of it, a preview with rules."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

from tests.integration.edge.harness import DEADLINE_S, Wire, free_port

MB = 1024 * 1024


class Asked:
    """One request as the upstream got it, and the connection for the answer."""

    def __init__(self, connection: socket.socket, head: bytes, rest: bytes) -> None:
        self.connection = connection
        self.line, *lines = head.decode("latin-1").split("\r\n")
        self.fields = [(k.lower(), v) for k, _, v in (line.partition(": ") for line in lines)]
        self.headers = dict(self.fields)
        self.rest = rest

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def reply(self, body: bytes = b"", *lines: str, status: str = "200 OK") -> None:
        head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *lines]
        self.send("\r\n".join(head).encode() + b"\r\n\r\n" + body)

    def body(self) -> bytes:
        """What has the length that the head gives, or all chunks, undone."""
        if self.headers.get("transfer-encoding") == "chunked":
            while not self.rest.endswith(b"0\r\n\r\n"):
                self._receive()
            return _unchunked(self.rest)
        while len(self.rest) < int(self.headers.get("content-length", "0")):
            self._receive()
        return self.rest

    def until_gone(self) -> None:
        while self.connection.recv(MB):
            pass

    def _receive(self) -> None:
        data = self.connection.recv(MB)
        assert data, f"closed after {self.rest[:100]!r}"
        self.rest += data


def _unchunked(raw: bytes) -> bytes:
    body = b""
    while True:
        size, _, raw = raw.partition(b"\r\n")
        if not int(size, 16):
            return body
        body += raw[: int(size, 16)]
        raw = raw[int(size, 16) + 2 :]


Handler = Callable[[Asked], None]


class Upstream:
    """`answer` is set by each test; `asked` are the requests so far. A connection serves one request after another."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.asked: list[Asked] = []
        self.accepted = 0
        self.answer: Handler = lambda asked: asked.reply()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed: the tests are over
                return
            connection.settimeout(DEADLINE_S)
            self.accepted += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        """A test sees what it asked for at the edge; here a connection just ends."""
        with connection:
            try:
                while True:
                    data = b""
                    while b"\r\n\r\n" not in data:
                        more = connection.recv(65536)
                        if not more:
                            return
                        data += more
                    head, _, rest = data.partition(b"\r\n\r\n")
                    asked = Asked(connection, head, rest)
                    self.asked.append(asked)
                    self.answer(asked)
                    if asked.line.startswith("GET /close"):
                        return
            except OSError:
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()


class ProxyingEdge:
    """`scalemesh preview` of `files`; `environ` holds its settings."""

    def __init__(self, folder: Path, files: Callable[[int], dict[str, str]], **environ: str) -> None:
        self.port = free_port()
        for name, text in files(self.port).items():
            (folder / name).write_text(text)
        code = "import sys; from pathlib import Path; from scalemesh.main.preview import preview;"
        code += "preview(Path(sys.argv[1]), int(sys.argv[2]), lambda address: print(address, flush=True))"
        argv = [sys.executable, "-c", code, str(folder), str(self.port)]
        environ = {name: value.format(port=self.port) for name, value in environ.items()}
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=os.environ | environ)
        assert self.process.stdout is not None
        assert self.process.stdout.readline().startswith("http://")

    def connect(self, *, receive_buffer: int = 0) -> Wire:
        return Wire(self.port, receive_buffer=receive_buffer)

    def peak_bytes(self) -> int:
        """The most memory that the worker has had."""
        pid = self.process.pid
        worker = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]
        status = Path(f"/proc/{worker}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(timeout=DEADLINE_S) == 0
        assert self.process.stdout is not None
        self.process.stdout.close()
