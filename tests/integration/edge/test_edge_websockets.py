"""WebSockets through a real edge, by a real client to a real server; and by raw sockets where either misbehaves."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection, serve

from tests.integration.edge.harness import DEADLINE_S, Wire
from tests.integration.edge.upstreams import Asked, ProxyingEdge, Upstream

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\n"


class Server:
    """Answers each message with itself; `bye` ends the connection."""

    def __init__(self) -> None:
        self.opened: list[ServerConnection] = []
        self.ended = threading.Event()
        self._server = serve(self._serve, "127.0.0.1", 0, max_size=None)
        self.port: int = self._server.socket.getsockname()[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _serve(self, connection: ServerConnection) -> None:
        self.opened.append(connection)
        try:
            while (message := connection.recv()) != "bye":
                connection.send(message)
        except ConnectionClosed:
            pass
        finally:
            self.ended.set()

    def stop(self) -> None:
        self._server.shutdown()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def raw() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture(scope="module")
def edge(server: Server, raw: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxyingEdge]:
    def files(_: int) -> dict[str, str]:
        rules = f"/ws/* http://127.0.0.1:{server.port}/:splat 200\n/raw http://127.0.0.1:{raw.port}/ 200\n"
        return {"index.html": "home", "_redirects": rules}

    edge = ProxyingEdge(
        tmp_path_factory.mktemp("site"),
        files,
        SCALEMESH_EDGE_PROXY_ALLOW=f"127.0.0.1:{server.port},127.0.0.1:{raw.port}",
        SCALEMESH_EDGE_PROXY_TIMEOUT="3",
        SCALEMESH_EDGE_PROXY_REQUEST="3MB",
    )
    yield edge
    edge.stop()


@pytest.fixture
def address(edge: ProxyingEdge, server: Server) -> str:
    server.ended.clear()
    server.opened.clear()
    return f"ws://127.0.0.1:{edge.port}/ws/chat?room=1"


def upgrade(edge: ProxyingEdge, lines: str = UPGRADE) -> Wire:
    wire = edge.connect()
    wire.send(f"GET /raw HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
    return wire


def test_messages_both_ways(address: str, server: Server) -> None:
    with connect(address, max_size=None) as client:
        for message in ("hello", "x" * 1_000_000, b"\x00\xff"):
            client.send(message)
            assert client.recv(DEADLINE_S) == message
        request = server.opened[0].request
        assert request is not None
        assert (request.path, request.headers["Via"]) == ("/chat?room=1", "1.1 scalemesh")


def test_the_client_ends_it(address: str, server: Server) -> None:
    with connect(address) as client:
        client.send("hello")
        client.recv(DEADLINE_S)
    assert server.ended.wait(DEADLINE_S)


def test_a_client_that_vanishes_takes_the_upstream_with_it(address: str, server: Server) -> None:
    with connect(address) as client:
        client.send("hello")
        client.recv(DEADLINE_S)
        client.socket.shutdown(socket.SHUT_RDWR)
        assert server.ended.wait(DEADLINE_S)


def test_the_server_ends_it(address: str) -> None:
    with connect(address) as client:
        client.send("bye")
        with pytest.raises(ConnectionClosed):
            client.recv(DEADLINE_S)


def test_silence_ends_it(address: str, server: Server) -> None:
    with connect(address, ping_interval=None) as client:
        with pytest.raises(ConnectionClosed):
            client.recv(DEADLINE_S)
        assert server.ended.wait(DEADLINE_S)


def test_more_bytes_than_allowed_end_it(address: str) -> None:
    with connect(address, compression=None, max_size=None) as client:
        for _ in range(2):
            client.send(b"x" * 1_000_000)
            client.recv(DEADLINE_S)
        with pytest.raises(ConnectionClosed):
            _exchange(client, b"x" * 2_000_000)


def _exchange(client: ClientConnection, message: bytes) -> None:
    client.send(message)
    client.recv(DEADLINE_S)


def test_bytes_sent_along_with_the_request_arrive(edge: ProxyingEdge, raw: Upstream) -> None:
    def answer(asked: Asked) -> None:
        asked.send(SWITCH + b"first")
        while len(asked.rest) < 5:
            asked.rest += asked.connection.recv(100)
        asked.send(asked.rest)
        asked.until_gone()

    raw.answer = answer
    with edge.connect() as wire:
        wire.send(f"GET /raw HTTP/1.1\r\nHost: x\r\n{UPGRADE}\r\nearly".encode())
        received = b""
        while not received.endswith(b"firstearly"):
            received += wire.socket.recv(1000)
        assert received.startswith(b"HTTP/1.1 101 ")


def test_an_upstream_that_does_not_switch_is_heard(edge: ProxyingEdge, raw: Upstream) -> None:
    raw.answer = lambda asked: asked.reply(b"no", status="403 Forbidden")
    with upgrade(edge) as wire:
        answer = wire.answer()
        assert (answer.status, answer.headers["connection"], wire.closed()) == (403, "close", True)


def test_other_protocols_are_not_asked_for(edge: ProxyingEdge, raw: Upstream) -> None:
    raw.asked.clear()
    raw.answer = lambda asked: asked.reply(b"plain")
    lines = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    with upgrade(edge, lines) as wire:
        assert wire.answer().body == b"plain"
    assert not {"upgrade", "connection", "http2-settings"} & set(raw.asked[0].headers)


def test_a_site_of_its_own_ignores_an_upgrade(edge: ProxyingEdge) -> None:
    with edge.connect() as wire:
        wire.send(f"GET / HTTP/1.1\r\nHost: x\r\n{UPGRADE}\r\n".encode())
        assert wire.answer().body == b"home"


def test_stopping_ends_it(server: Server, tmp_path: Path) -> None:
    rules = {"index.html": "home", "_redirects": f"/* http://127.0.0.1:{server.port}/ 200!"}
    allow = {"SCALEMESH_EDGE_PROXY_ALLOW": f"127.0.0.1:{server.port}", "SCALEMESH_EDGE_DRAIN": "1"}
    edge = ProxyingEdge(tmp_path, lambda _: rules, **allow)
    with connect(f"ws://127.0.0.1:{edge.port}/", ping_interval=None) as client:
        edge.stop()
        with pytest.raises(ConnectionClosed):
            client.recv(DEADLINE_S)
