"""The ClickHouse engine (chdb) behind as much of its HTTP interface as clickhouse-connect uses.

A program of its own, so that tests can kill it: `python -m scalemesh.testing.clickhouse_server PORT FOLDER`.
"""

import re
import sys
import tempfile
import threading
from collections.abc import Sequence
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

_FORMAT = re.compile(r"\s+FORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_PARAMETER = "param_"


class _Server(ThreadingHTTPServer):
    """One session of the engine, one query at a time."""

    daemon_threads = True

    def __init__(self, port: int, folder: Path) -> None:
        from chdb.session import Session

        self._session: Any = cast("Any", Session)(str(folder))
        self._one_at_a_time = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)

    def query(self, sql: str, parameters: dict[str, str], database: str) -> bytes:
        found = _FORMAT.search(sql)
        plain = sql[: found.start()] if found else sql
        with self._one_at_a_time:
            self._session.query(f"USE `{database}`")
            return bytes(self._session.query(plain, found[1] if found else "TabSeparated", params=parameters).bytes())

    def insert(self, sql: str, data: bytes, database: str) -> bytes:
        """`INSERT … FORMAT F` and its data."""
        found = _FORMAT.search(sql)
        if found is None:
            raise ValueError(f"an INSERT without a format: {sql}")
        with tempfile.NamedTemporaryFile(suffix=".native") as file:
            file.write(data)
            file.flush()
            return self.query(f"{sql[: found.start()]} SELECT * FROM file('{file.name}', '{found[1]}')", {}, database)  # noqa: S608  its client is a test


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # as ClickHouse itself: or the client's delayed ACKs cost 40 ms an answer
    wbufsize = -1
    server: _Server

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        options = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        body = self._body()
        if self.headers.get_content_type() == "multipart/form-data":  # how long parameters come
            form = message_from_bytes(b"Content-Type: %b\r\n\r\n" % self.headers["Content-Type"].encode() + body)
            fields = {part.get_param("name", header="content-disposition"): part for part in form.walk()}
            given = {str(name): part.get_payload(decode=True) for name, part in fields.items() if name}
            body = cast("bytes", given.pop("query"))
            options |= {name: cast("bytes", value).decode() for name, value in given.items()}
        parameters = {name.removeprefix(_PARAMETER): v for name, v in options.items() if name.startswith(_PARAMETER)}
        database = options.get("database", "default")
        try:
            sql, _, data = body.partition(b"\n")
            if sql.startswith(b"INSERT") and b" FORMAT " in sql:
                answer = self.server.insert(sql.decode(), data, database)
            else:
                answer = self.server.query(body.decode(), parameters, database)
        except RuntimeError as error:  # what chdb raises for everything that the engine refuses
            self._answer(500, str(error).encode())
        else:
            self._answer(200, answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing: the engine's own words are enough."""

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        body = bytearray()
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return bytes(body)

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Type", "application/octet-stream")
        if status != 200:
            self.send_header("X-ClickHouse-Exception-Code", "1")
        self.end_headers()
        self.wfile.write(content)


def main(arguments: Sequence[str]) -> None:
    port, folder = arguments
    _Server(int(port), Path(folder)).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
