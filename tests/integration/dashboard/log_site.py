"""The dashboard over memory services in a thread, with a log stream that can be told to misbehave."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI, WebSocket
from fastapi.responses import JSONResponse

from scalemesh.dashboard import router
from tests.unit.dashboard.memory_services import MemoryServices, deployment, project, typed

Line = dict[str, object]


def line(seq: int, text: str, step: str = "build", level: str = "info") -> Line:
    return {
        "type": "line",
        "seq": seq,
        "ts": "2026-01-01T00:00:00.000Z",
        "stream": "stdout",
        "level": level,
        "step": step,
        "text": text,
        "attempt": 1,
        "partial": False,
    }


class LogSite:
    """`plays`: what each connection sends, one after another; the last one is repeated. None: break off here.

    `after` collects what the browser asked for. `refuses`: WebSockets are not let through at all.
    """

    def __init__(self, state: str = "building") -> None:
        self.services = MemoryServices()
        self.services.projects.all = [project("shop")]
        self.set_state(state)
        self.plays: list[list[Line | None]] = []
        self.after: list[int] = []
        self.polled: list[int] = []
        self.refuses = False
        self.lines: list[Line] = []
        self.url = ""

    def set_state(self, state: str) -> None:
        self.services.deployments.all = [deployment("dpl_1", state, 60)]

    def app(self) -> FastAPI:
        app = FastAPI()
        app.add_api_websocket_route("/v1/deployments/{deployment}/logs/stream", self._stream)
        app.add_api_route("/v1/deployments/{deployment}/logs", self._page)
        app.add_api_route("/v1/deployments/{deployment}", self._state)
        app.include_router(router(typed(self.services)))
        return app

    async def _stream(self, socket: WebSocket, after: int) -> None:
        if self.refuses:
            await socket.close(1011)
            return
        self.after.append(after)
        await socket.accept()
        play = self.plays[min(len(self.after), len(self.plays)) - 1]
        for message in play:
            if message is None:
                await socket.close(1012)
                return
            await socket.send_json(message)
        await asyncio.wait_for(socket.receive(), 30)

    async def _page(self, after: int) -> JSONResponse:
        self.polled.append(after)
        wanted = [each for each in self.lines if int(str(each["seq"])) > after]
        return JSONResponse({"lines": wanted, "next": after})

    async def _state(self) -> JSONResponse:
        return JSONResponse({"state": self.services.deployments.all[0].state})


@contextmanager
def serving(site: LogSite) -> Iterator[LogSite]:
    listener = socket.create_server(("127.0.0.1", 0))
    site.url = f"http://localhost:{listener.getsockname()[1]}"
    server = uvicorn.Server(
        uvicorn.Config(
            site.app(), log_level="error", lifespan="off", ws="websockets-sansio", timeout_graceful_shutdown=1
        )
    )
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
