"""One keep-alive HTTP/1.1 connection on asyncio streams and llhttp: a tenth of a client library's memory."""

import asyncio
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

import httptools

from scalemesh.errors import Unavailable

CONNECT_S = 5.0
_READ_BYTES = 256 * 1024


class _Answer:
    """Collects one response; llhttp calls the `on_…` methods."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.body = bytearray()
        self.complete = False
        self.keep_alive = False

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.complete = True
        self.keep_alive = self.parser.should_keep_alive()  # a moment later it has forgotten


class HttpClient:
    """Requests below one base URL. Not for concurrent use: a cancelled or failed request drops the connection."""

    def __init__(self, base_url: str, headers: Mapping[str, str]) -> None:
        parts = urlsplit(base_url)
        self._host = parts.hostname or "localhost"
        self._tls = parts.scheme == "https"
        self._port = parts.port or (443 if self._tls else 80)
        self._prefix = parts.path.rstrip("/")
        lines = [f"Host: {parts.netloc}", *(f"{name}: {value}" for name, value in headers.items())]
        self._headers = "".join(f"{line}\r\n" for line in lines)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, target: str, timeout_s: float) -> tuple[int, bytes]:
        """Status and body. Raises Unavailable where no whole answer comes in time."""
        return await self._within(timeout_s, f"GET {self._prefix}{target} HTTP/1.1\r\n{self._headers}\r\n".encode())

    async def post(self, target: str, body: bytes, timeout_s: float) -> tuple[int, bytes]:
        """Status and body; it is not sent again. Raises Unavailable where no whole answer comes in time."""
        head = f"POST {self._prefix}{target} HTTP/1.1\r\n{self._headers}Content-Length: {len(body)}\r\n\r\n"
        return await self._within(timeout_s, head.encode() + body)

    async def _within(self, timeout_s: float, message: bytes) -> tuple[int, bytes]:
        try:
            async with asyncio.timeout(timeout_s):
                return await self._ask(message)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, httptools.HttpParserError) as error:
            self.close()
            raise Unavailable(f"No answer from {self._host}:{self._port}: {error or type(error).__name__}") from error
        except BaseException:
            self.close()
            raise

    async def _ask(self, message: bytes) -> tuple[int, bytes]:
        reader, writer = self._streams or await self._connect()
        writer.write(message)
        await writer.drain()
        answer = _Answer()
        while not answer.complete:
            data = await reader.read(_READ_BYTES)
            if not data:
                raise ConnectionResetError("the connection was closed")
            answer.parser.feed_data(data)
        if not answer.keep_alive:
            self.close()
        return answer.parser.get_status_code(), bytes(answer.body)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        context = ssl.create_default_context() if self._tls else None
        async with asyncio.timeout(CONNECT_S):
            self._streams = await asyncio.open_connection(self._host, self._port, ssl=context)
        return self._streams

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None
