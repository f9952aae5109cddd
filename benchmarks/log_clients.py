"""Fifty emitters and fifty readers that leave the processors to what is measured: no client library in between."""

import asyncio
import base64
import os
import time
from typing import Any

import msgspec

from scalemesh.buildserver.shipper import BATCH_INTERVAL_S
from scalemesh.core.build import Batch
from scalemesh.core.documents import encode
from scalemesh.core.logs import LogLine
from scalemesh.edge.http_client import HttpClient


class _Message(msgspec.Struct):
    type: str
    text: str = ""


_MESSAGE = msgspec.json.Decoder(_Message)


async def emit(api: Any, agent: Any, until: float, *, rate: int, offset_s: float) -> None:
    """Writes `rate` lines a second, each with its time, and ships what it has as an agent does: a batch at a time."""
    headers = {"Authorization": f"Bearer {agent['token']}", "Content-Type": "application/json"}
    http = HttpClient(f"http://127.0.0.1:{api['port']}", headers)
    seq, written = agent["first"], time.perf_counter()
    await asyncio.sleep(offset_s)
    while (now := time.perf_counter()) < until:
        lines = []
        while written + 1 / rate <= now:
            written += 1 / rate
            lines.append(LogLine(deployment=agent["deployment"], attempt=1, seq=seq, ts=0, text=repr(written)))
            seq += 1
        status, body = await http.post(f"/v1/builds/{agent['attempt']}/events", encode(Batch(lines=lines)), 30)
        if status != 200:
            raise RuntimeError(f"{status}: {body!r}")
        await asyncio.sleep(max(0, now + BATCH_INTERVAL_S - time.perf_counter()))
    http.close()


class Reader(asyncio.Protocol):
    """One WebSocket of a live log (RFC 6455: a server's frames are not masked); `took`: seconds from write to here."""

    def __init__(self, api: Any, agent: Any, warm_until: float) -> None:
        target = f"/v1/deployments/{agent['deployment']}/logs/stream?after={agent['first'] - 1}"
        key = base64.b64encode(os.urandom(16)).decode()
        self._hello = (
            f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{api['port']}\r\nAuthorization: Bearer {api['token']}\r\n"
            "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {key}\r\n\r\n"
        )
        self._port = api["port"]
        self._warm_until = warm_until
        self._buffer = bytearray()
        self._open = False
        self.took: list[float] = []

    async def read(self, until: float) -> list[float]:
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", self._port)
        transport.write(self._hello.encode())
        await asyncio.sleep(until - time.perf_counter())
        transport.abort()
        if not self._open:
            raise RuntimeError(f"no WebSocket: {bytes(self._buffer[:200])!r}")
        return self.took

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._open:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0 or not self._buffer.startswith(b"HTTP/1.1 101 "):
                return
            del self._buffer[: end + 4]
            self._open = True
        at = 0
        while (frame := self._frame(at)) is not None:
            at, payload = frame
            self._take(payload)
        del self._buffer[:at]

    def _frame(self, at: int) -> tuple[int, bytes] | None:
        if len(self._buffer) < at + 4:
            return None
        size, start = self._buffer[at + 1], at + 2
        if size == 126:
            size, start = int.from_bytes(self._buffer[at + 2 : at + 4]), at + 4
        if len(self._buffer) < start + size:
            return None
        return start + size, bytes(self._buffer[start : start + size])

    def _take(self, payload: bytes) -> None:
        message = _MESSAGE.decode(payload)
        now = time.perf_counter()
        if message.type == "line" and now > self._warm_until:
            self.took.append(now - float(message.text))
