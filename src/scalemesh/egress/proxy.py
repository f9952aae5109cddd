"""Outside: connections that come by descriptor and name, each checked, connected and relayed."""

import asyncio
import json
import os
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Self

from scalemesh.egress import channel
from scalemesh.egress.guard import EgressDenied, Guard
from scalemesh.errors import ScaleMeshError

MAX_CONNECTIONS = 400  # two descriptors each, and 1024 is the usual limit; more are refused
CONNECT_TIMEOUT_S = 15.0
_RESET_AT_CLOSE = struct.pack("ii", 1, 0)  # "connection reset" rather than an empty answer
_CHUNK = 256 * 1024


class Proxy:
    """Serves one session's forwarder over `sock`. `guard` is the running step's; None refuses everything.

    `on_denied` gets one line per refused destination, once each.
    """

    def __init__(self, sock: socket.socket, on_denied: Callable[[str], None]) -> None:
        self.guard: Guard | None = None
        self._sock = sock
        self._on_denied = on_denied
        self._answering = asyncio.Lock()
        self._told: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._sock.setblocking(False)
        asyncio.get_running_loop().add_reader(self._sock, self._readable)
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._sock.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._sock)
            self._sock.close()
        await self.disconnect()

    async def disconnect(self) -> None:
        """Drop every connection: the step that owned them has ended."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._told.clear()

    def _readable(self) -> None:
        try:
            received = channel.receive(self._sock)
        except BlockingIOError:
            return
        if received is None:
            asyncio.get_running_loop().remove_reader(self._sock)
            return
        message, fds = received
        if fds and len(self._tasks) >= MAX_CONNECTIONS:
            _close(fds)
            return
        task = asyncio.create_task(self._serve(message, fds))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, message: channel.Message, fds: list[int]) -> None:
        try:
            if message["op"] == "resolve":
                await self._resolve(message)
            elif fds:
                with socket.socket(fileno=fds.pop()) as client:
                    await self._connect(message["name"], message["port"], client)
        finally:
            _close(fds)

    async def _resolve(self, message: channel.Message) -> None:
        found = await self._check(message["name"], None)
        answer = json.dumps({"id": message["id"], "ok": bool(found)}).encode()
        async with self._answering:
            await asyncio.get_running_loop().sock_sendall(self._sock, answer)

    async def _connect(self, name: str, port: int, client: socket.socket) -> None:
        client.setblocking(False)
        try:
            upstream = await self._dial(await self._check(name, port), port)
        except OSError as error:
            self._tell(f"egress: {name}:{port} does not answer ({error.strerror or error})")
            upstream = None
        if upstream is None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)
            return
        await relay(client, upstream)

    async def _check(self, name: str, port: int | None) -> Sequence[str]:
        if self.guard is None:
            return []
        try:
            return await self.guard.resolve(name, port)
        except EgressDenied as denied:
            self._tell(f"egress denied: {denied.message}")
        except ScaleMeshError as error:
            self._tell(f"egress: {error.message}")
        return []

    def _tell(self, line: str) -> None:
        if line not in self._told and len(self._told) < MAX_CONNECTIONS:
            self._told.add(line)
            self._on_denied(line)

    async def _dial(self, addresses: Sequence[str], port: int) -> socket.socket | None:
        """The first address that answers; raises the last one's error."""
        problem: OSError | None = None
        for address in addresses:
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    return await _open(address, port)
            except OSError as error:  # TimeoutError is one
                problem = error
        if problem:
            raise problem
        return None


async def _open(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        await asyncio.get_running_loop().sock_connect(sock, (address, port))
    except BaseException:
        sock.close()
        raise
    return sock


async def relay(one: socket.socket, other: socket.socket) -> None:
    """Bytes both ways until both ends have finished or either fails; closes both."""
    for sock in (one, other):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_copy(one, other))
            group.create_task(_copy(other, one))
    except* OSError:
        pass  # one end was reset: so is the other, by closing
    finally:
        one.close()
        other.close()


async def _copy(source: socket.socket, target: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(source, _CHUNK):
        await loop.sock_sendall(target, data)
    target.shutdown(socket.SHUT_WR)


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)
