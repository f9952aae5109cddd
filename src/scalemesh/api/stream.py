"""The live log over WebSocket: `{"type": "line", …}` as they come, heartbeats, last `{"type": "end", "state"}`.

The connection is closed when its reader may not read any more (4403), when the API stops (1012: connect again after the
last number seen), or when the log has ended (1000).
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any, NoReturn

import msgspec
import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect

from scalemesh.api.identity import actor_of
from scalemesh.api.services import Services
from scalemesh.deployments import DeploymentView
from scalemesh.errors import Forbidden, NotFound, Unauthenticated, Unavailable

HEARTBEAT_S = 15.0
NORMAL, RESTARTING, NOT_ALLOWED = 1000, 1012, 4403
_STOP_S = 5

log = structlog.get_logger(__name__)


class LogStream:
    """One reader. Whichever of its parts ends first says with which code to close."""

    def __init__(self, socket: WebSocket, services: Services, deployment: str) -> None:
        self._socket = socket
        self._services = services
        self._deployment = deployment

    async def run(self, lines: AsyncIterator[msgspec.Struct]) -> None:
        """Returns when the connection is closed, from whichever side."""
        await self._socket.accept()
        try:
            code = await _first(self._send(lines), self._watch(), self._listen(), self._restart())
        except (Unauthenticated, Forbidden, NotFound):
            code = NOT_ALLOWED
        if code is not None:
            with contextlib.suppress(WebSocketDisconnect):  # the reader was faster
                await self._socket.close(code)

    async def _send(self, lines: AsyncIterator[msgspec.Struct]) -> int:
        try:
            async for line in lines:
                await self._message(line)
        except Unavailable as error:
            log.info("log stream cut", deployment=self._deployment, cause=error.message)
            return RESTARTING
        await self._message({"type": "end", "state": (await self._look()).state})
        return NORMAL

    async def _look(self) -> DeploymentView:
        """The deployment as this reader sees it at this moment. Raises what the API would answer."""
        actor = await actor_of(self._socket, self._services)
        return await self._services.deployments.get(actor, self._deployment)

    async def _watch(self) -> NoReturn:
        """Says that we are there, and looks whether this reader still may read."""
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            await self._look()
            await self._message({"type": "heartbeat"})

    async def _listen(self) -> None:
        """Nothing that a reader says matters, but its leaving."""
        while (await self._socket.receive())["type"] != "websocket.disconnect":
            pass

    async def _restart(self) -> int:
        await self._services.stopping.wait()
        return RESTARTING

    async def _message(self, message: Any) -> None:
        await self._socket.send_text(msgspec.json.encode(message).decode())


async def _first(*parts: Coroutine[Any, Any, int | None]) -> int | None:
    """Runs the parts until one ends, and answers what that one does; None where the reader has gone."""
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()
    except WebSocketDisconnect:
        return None
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=_STOP_S)
