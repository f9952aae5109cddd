"""The agents' part of the API over memory controls: real HTTP for a real agent, no services behind it."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from scalemesh.artifacts import frames
from scalemesh.buildserver.control.memory import MemoryControl
from scalemesh.core.build import Batch, CacheArchive, CacheIndex, ClaimRequest, Missing, MissingAnswer, SignedPuts
from scalemesh.core.documents import Document, decode, encode
from scalemesh.core.manifest import Manifest
from scalemesh.errors import NotFound, ScaleMeshError, Unavailable


@dataclass
class BuildApi:
    """`controls` by attempt; any other is a 404, or with `is_away` a 503. `tokens` are those that were used."""

    controls: dict[str, MemoryControl] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    url: str = ""
    is_away: bool = False

    @asynccontextmanager
    async def serve(self, port: int = 0) -> AsyncIterator["BuildApi"]:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            config = uvicorn.Config(
                self._app(), log_level="warning", lifespan="off", ws="none", timeout_graceful_shutdown=1
            )
            server = uvicorn.Server(config)
            server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
            serving = asyncio.create_task(server.serve([listener]))
            try:
                yield self
            finally:
                server.should_exit = True
                await serving

    def _app(self) -> Starlette:
        paths = ("/v1/builds/{attempt}/{act}", "/v1/builds/{attempt}/{act}/{sha256}")
        routes = [Route(path, self._answer, methods=["GET", "POST"]) for path in paths]
        return Starlette(routes=routes, exception_handlers={ScaleMeshError: _problem})

    async def _answer(self, request: Request) -> Response:
        if self.is_away:
            raise Unavailable("Being restarted.")
        control = self.controls.get(request.path_params["attempt"])
        if control is None:
            raise NotFound("No such attempt.")
        self.tokens.add(request.headers["authorization"])
        act = request.path_params["act"]
        if act == "source":
            return StreamingResponse(control.source())
        if act == "blobs":
            return await _store(control, request)
        if act == "caches":
            return await _caches(control, request)
        body = await request.body()
        if act == "claim":
            return _json(await control.claim(decode(ClaimRequest, body).nonce))
        if act == "events":
            return _json(await control.send(decode(Batch, body)))
        if act == "heartbeat":
            return _json(await control.heartbeat())
        if act == "missing":
            return _json(MissingAnswer(missing=sorted(await control.missing(decode(Missing, body).blobs))))
        if act == "presign":
            return _json(SignedPuts(puts=await control.presign(decode(Missing, body).blobs)))
        await control.manifest(decode(Manifest, body))
        return Response(status_code=204)


async def _caches(control: MemoryControl, request: Request) -> Response:
    if sha256 := request.path_params.get("sha256"):
        wanted = CacheArchive(path="", sha256=sha256, size=0)
        return Response(b"".join([chunk async for chunk in control.archive(wanted)]))
    if request.method == "GET":
        return _json(await control.caches())
    await control.leave(decode(CacheIndex, await request.body()))
    return Response(status_code=204)


async def _store(control: MemoryControl, request: Request) -> Response:
    async for sha256, size, chunks in frames.decode(request.stream()):
        data = b"".join([chunk async for chunk in chunks])
        await control.put_blobs({sha256: Bytes(data)})
        assert len(data) == size
    return Response(status_code=204)


@dataclass(frozen=True)
class Bytes:
    """A blob in memory."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self.data


def _json(document: Document) -> Response:
    return Response(encode(document), media_type="application/json")


def _problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, ScaleMeshError)
    return JSONResponse({"detail": error.message, "code": error.code, "hint": error.hint}, status_code=error.status)
