"""What httpcore dials: the addresses that the guard has checked, and no others, whatever a name says by then."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import httpcore
import pytest

from scalemesh.egress.connect import GuardedBackend
from scalemesh.egress.guard import EgressDenied, Guard


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\ninside")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


class Rebinding:
    """A name server that says something else each time."""

    def __init__(self, *answers: str) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def __call__(self, host: str) -> Sequence[str]:
        self.asked += 1
        return [self._answers.pop(0)]


async def fetched(guard: Guard, port: int) -> bytes:
    async with httpcore.AsyncConnectionPool(network_backend=GuardedBackend(guard)) as pool:
        timeout = {"timeout": {"connect": 0.5}}
        return (await pool.request("GET", f"http://rebind.test:{port}/", extensions=timeout)).content


async def test_a_name_of_this_machine_is_refused(port: int) -> None:
    with pytest.raises(EgressDenied, match="EDGE_PROXY_ALLOW"):
        await fetched(Guard(resolver=Rebinding("127.0.0.1"), setting="EDGE_PROXY_ALLOW"), port)


async def test_the_same_name_is_reached_when_allowed(port: int) -> None:
    guard = Guard([f"rebind.test:{port}"], resolver=Rebinding("127.0.0.1"))
    assert await fetched(guard, port) == b"inside"


async def test_what_was_checked_is_what_is_dialled(port: int) -> None:
    """The second answer would lead inside; nobody asks for it between check and use."""
    resolver = Rebinding("192.0.2.1", "127.0.0.1")
    with pytest.raises((EgressDenied, httpcore.ConnectError, httpcore.ConnectTimeout)):
        await fetched(Guard(["192.0.2.0/24"], resolver=resolver), port)
    assert resolver.asked == 1


async def test_the_next_address_is_tried(port: int) -> None:
    async def resolver(_: str) -> Sequence[str]:
        return ["127.0.0.2", "127.0.0.1"]

    assert await fetched(Guard([f"rebind.test:{port}"], resolver=resolver), port) == b"inside"
