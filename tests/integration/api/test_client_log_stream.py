"""What the command line's client makes of a live log, over a real WebSocket."""

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.sync.server import ServerConnection, serve

from scalemesh.cli import deployments
from scalemesh.client.http import Client
from scalemesh.client.stream import follow

LINE = {"type": "line", "seq": 0, "ts": "", "stream": "stdout", "level": "info", "step": "build", "text": "one"}
SKIPPED = {"type": "skipped", "first": 1, "last": 4}
END = {"type": "end", "state": "ready"}


class Server:
    """Says its parts in turn, a connection for each, and keeps what it was asked for."""

    def __init__(self, *parts: list[dict[str, Any]]) -> None:
        self._parts = iter(parts)
        self.asked: list[str] = []

    def __call__(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        self.asked.append(connection.request.path)
        for message in next(self._parts):
            connection.send(json.dumps(message))


@pytest.fixture
def server() -> Server:
    return Server([LINE, SKIPPED], [END])


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with serve(server, "127.0.0.1", 0) as listening:
        running = threading.Thread(target=listening.serve_forever)
        running.start()
        with Client(f"http://127.0.0.1:{listening.socket.getsockname()[1]}", None) as client:
            yield client
        listening.shutdown()
        running.join()


def test_goes_on_behind_what_never_comes(server: Server, client: Client) -> None:
    assert list(follow(client, "dpl_x")) == [LINE, SKIPPED, "ready"]
    assert [path.rpartition("=")[2] for path in server.asked] == ["-1", "4"]


def test_says_what_never_comes(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    deployments._follow(client, "dpl_x")
    shown = capsys.readouterr()
    assert shown.out == "one\n"
    assert "Lines 1 to 4 were never written" in shown.err
