"""The live log over plain HTTP: Server-Sent Events, or one JSON object a line, from the same tail as the WebSocket's.

The answer ends when the log has (its last message is `end`), when its reader may not read any more, or when the API
stops: ask again after the last number seen.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import Request

from scalemesh.api.identity import actor_of
from scalemesh.api.services import Services
from scalemesh.api.stream import HEARTBEAT_S
from scalemesh.errors import Forbidden, NotFound, Unauthenticated, Unavailable


@dataclass(frozen=True)
class Encoding:
    media_type: str
    is_events: bool

    def message(self, message: Any) -> bytes:
        content = msgspec.json.encode(message)
        if not self.is_events:
            return content + b"\n"
        fields = msgspec.to_builtins(message)
        number = f"id: {fields['seq']}\n" if "seq" in fields else ""
        return f"{number}event: {fields['type']}\ndata: ".encode() + content + b"\n\n"


EVENTS = Encoding("text/event-stream", is_events=True)
NDJSON = Encoding("application/x-ndjson", is_events=False)


def encoding_for(accept: str) -> Encoding:
    return NDJSON if "ndjson" in accept else EVENTS


class HttpLogStream:
    """One reader."""

    def __init__(self, request: Request, services: Services, deployment: str, encoding: Encoding) -> None:
        self._request = request
        self._services = services
        self._deployment = deployment
        self._encoding = encoding

    async def body(
        self, lines: AsyncGenerator[Any, None], messages: AsyncIterator[msgspec.Struct]
    ) -> AsyncGenerator[bytes, None]:
        """`messages` are made of `lines`, which end with us."""
        async with aclosing(lines):
            try:
                async for message in self._with_heartbeats(messages):
                    yield self._encoding.message(message)
            except (Unauthenticated, Forbidden, NotFound, Unavailable):
                return

    async def _with_heartbeats(self, messages: AsyncIterator[msgspec.Struct]) -> AsyncIterator[Any]:
        """A busy log gets them, too: they are when a reader who may not read any more is found."""
        clock = asyncio.get_running_loop().time
        stopping = asyncio.create_task(self._services.stopping.wait())
        waiting = asyncio.ensure_future(anext(messages, None))
        beat_at = clock() + HEARTBEAT_S
        try:
            while True:
                pause_s = max(beat_at - clock(), 0)
                await asyncio.wait({waiting, stopping}, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
                if stopping.done():
                    return
                if not waiting.done() or clock() >= beat_at:
                    await self._state()
                    yield {"type": "heartbeat"}
                    beat_at = clock() + HEARTBEAT_S
                    continue
                message = waiting.result()
                if message is None:
                    yield {"type": "end", "state": await self._state()}
                    return
                yield message
                waiting = asyncio.ensure_future(anext(messages, None))
        finally:
            for task in (waiting, stopping):
                task.cancel()
            await asyncio.wait({waiting, stopping})

    async def _state(self) -> str:
        """The deployment's, as this reader may see it at this moment. Raises what the API would answer."""
        actor = await actor_of(self._request, self._services)
        return (await self._services.deployments.get(actor, self._deployment)).state
