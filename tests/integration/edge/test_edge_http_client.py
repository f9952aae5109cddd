"""The client of the edge and of the access records: one connection for many requests, a new one where it must be."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from scalemesh.edge.http_client import HttpClient

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
LAST = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"


class Server:
    """Answers the requests of all connections in turn with `answers`; counts the connections."""

    def __init__(self, answers: list[bytes]) -> None:
        self.answers = answers
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while self.answers and await reader.readuntil(b"\r\n\r\n"):
            writer.write(self.answers.pop(0))
        writer.close()


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, str]]:
    serving = Server([])
    listening = await asyncio.start_server(serving.serve, "127.0.0.1", 0)
    async with listening:
        yield serving, f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


@pytest.mark.parametrize(("answers", "connections"), [([OK, OK, OK], 1), ([OK, LAST, OK], 2)])
async def test_requests_share_a_connection_until_the_server_says_close(
    server: tuple[Server, str], answers: list[bytes], connections: int
) -> None:
    serving, url = server
    serving.answers = list(answers)
    client = HttpClient(url, {})
    for _ in answers:
        assert await client.get("/", 10) == (200, b"hi")
    client.close()
    assert serving.connections == connections
