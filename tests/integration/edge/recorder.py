"""An upstream that writes down each byte, and takes it for HTTP only as a strict reader of its own (h11) does."""

import socket
import threading
from typing import Self

import h11

from tests.integration.edge.harness import DEADLINE_S

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Recorder:
    """`requests` are (method, target, body) of those that came in whole; `raw` are all bytes, by request."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.changed = threading.Condition()
        self.forget()
        threading.Thread(target=self._accept, daemon=True).start()

    def forget(self) -> None:
        self.raw: list[bytearray] = []
        self.requests: list[tuple[bytes, bytes, bytes]] = []
        self.broken: list[str] = []

    def until_seen(self, data: bytes) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: any(data in raw for raw in self.raw), DEADLINE_S)

    def until_broken(self) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.broken, DEADLINE_S)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:  # closed: the tests are over
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        """Ends with the connection, or with the first byte that is not HTTP: then `broken` tells why."""
        reader = h11.Connection(h11.SERVER)
        with connection:
            try:
                while self._one(connection, reader):
                    reader.start_next_cycle()
            except (h11.RemoteProtocolError, OSError) as error:
                with self.changed:
                    self.broken.append(str(error))
                    self.changed.notify_all()

    def _one(self, connection: socket.socket, reader: h11.Connection) -> bool:
        request, body, raw = None, b"", bytearray()
        while not isinstance(event := reader.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                data = connection.recv(1 << 20)
                with self.changed:
                    if data and not raw:
                        self.raw.append(raw)
                    raw += data
                    self.changed.notify_all()
                reader.receive_data(data)
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.Data):
                body += event.data
            else:
                return False
        assert request is not None
        with self.changed:
            self.requests.append((request.method, request.target, body))
        reader.send(h11.Response(status_code=200, headers=[("Content-Length", "2")]))
        reader.send(h11.Data(b"ok"))
        reader.send(h11.EndOfMessage())
        connection.sendall(OK)
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
