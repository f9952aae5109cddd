"""The proxy with real sockets on this process's own loopback, and a resolver of its own."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from scalemesh.egress import channel
from scalemesh.egress.guard import Guard
from scalemesh.egress.proxy import Proxy

SIZE = 3 * 1024 * 1024


async def here(_host: str) -> Sequence[str]:
    await asyncio.sleep(0)
    return ["127.0.0.1"]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


@asynccontextmanager
async def inside(guard: Guard | None, said: list[str]) -> AsyncIterator[socket.socket]:
    ours, theirs = channel.pair()
    with theirs:
        async with Proxy(ours, said.append) as proxy:
            proxy.guard = guard
            yield theirs


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        return client, server.accept()[0]


async def connect(theirs: socket.socket, name: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    client, accepted = tcp_pair()
    with accepted:
        channel.send(theirs, {"op": "connect", "name": name, "port": port}, [accepted.fileno()])
    return await asyncio.open_connection(sock=client)


async def test_bytes_go_both_ways_and_ends_are_passed_on() -> None:
    async with asyncio.timeout(10), await asyncio.start_server(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with inside(Guard([f"echo.test:{port}"], resolver=here), []) as theirs:
            reader, writer = await connect(theirs, "echo.test", port)
            writer.write(bytes(SIZE))
            writer.write_eof()
            assert len(await reader.read()) == SIZE
            writer.close()


@pytest.mark.parametrize("guard", [None, Guard(resolver=here)])
async def test_what_is_denied_is_reset(guard: Guard | None) -> None:
    said: list[str] = []
    async with asyncio.timeout(10), inside(guard, said) as theirs:
        reader, writer = await connect(theirs, "evil.test", 80)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
    assert [line.partition(" is ")[0] for line in said] == (["egress denied: evil.test:80: 127.0.0.1"] if guard else [])


async def test_a_denial_is_told_once() -> None:
    said: list[str] = []
    async with asyncio.timeout(10), inside(Guard(resolver=here), said) as theirs:
        for _ in range(3):
            reader, writer = await connect(theirs, "evil.test", 80)
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()
    assert len(said) == 1


async def test_a_server_that_does_not_answer_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    said: list[str] = []
    async with asyncio.timeout(10), inside(Guard([f"gone.test:{port}"], resolver=here), said) as theirs:
        reader, writer = await connect(theirs, "gone.test", port)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
    assert said == [f"egress: gone.test:{port} does not answer (Connect call failed ('127.0.0.1', {port}))"]


@pytest.mark.parametrize(("allow", "ok"), [([], False), (["a.test:80"], True)])
async def test_names_are_checked_when_they_are_asked_for(allow: list[str], ok: bool) -> None:
    async with asyncio.timeout(10), inside(Guard(allow, resolver=here), []) as theirs:
        theirs.setblocking(False)
        channel.send(theirs, {"op": "resolve", "id": 5, "name": "a.test"})
        answer = await asyncio.get_running_loop().sock_recv(theirs, 4096)
    assert json.loads(answer) == {"id": 5, "ok": ok}
