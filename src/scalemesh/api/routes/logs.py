"""`deployments/{id}/logs` and its live stream, over WebSocket and HTTP."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated

import msgspec
from fastapi import Header, Query, Request, WebSocket
from starlette.responses import Response, StreamingResponse

from scalemesh.api.documents import v1
from scalemesh.api.http_stream import HttpLogStream, encoding_for
from scalemesh.api.identity import BY_PERSON, Acting
from scalemesh.api.services import Wired
from scalemesh.api.stream import LogStream
from scalemesh.core.clock import rfc3339
from scalemesh.core.logs import LogLine
from scalemesh.logs import LogService, plain

router = v1()

_LINES_PER_READ = 1000

After = Annotated[int, Query(ge=-1, description="Lines numbered above this; -1 is the start.")]


class LineView(msgspec.Struct, frozen=True, kw_only=True, tag="line", tag_field="type"):
    """One line. `seq` counts from 0 without gaps, across attempts."""

    seq: int
    ts: str
    stream: str
    level: str
    step: str
    text: str
    attempt: int
    partial: bool


class Skipped(msgspec.Struct, frozen=True, kw_only=True, tag="skipped", tag_field="type"):
    """The lines from `first` to `last` will not come: they were never written, or have been deleted."""

    first: int
    last: int


class LogPage(msgspec.Struct, frozen=True, kw_only=True):
    """`next` is the `after` of the page behind this one: the last number given, or the one asked for."""

    lines: list[LineView]
    next: int


@router.get("/deployments/{deployment}/logs", dependencies=BY_PERSON)
async def read_log(
    actor: Acting,
    services: Wired,
    deployment: str,
    after: After = -1,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> LogPage:
    """A page of the log. Empty `lines`: there are no more for now."""
    lines = [line_view(line) for line in await services.deployments.log.read(actor, deployment, after, limit)]
    return LogPage(lines=lines, next=lines[-1].seq if lines else after)


@router.get("/deployments/{deployment}/logs/text", dependencies=BY_PERSON)
async def download_log(actor: Acting, services: Wired, deployment: str) -> Response:
    """All lines so far as plain text, each behind its time, without colours."""
    found = await services.deployments.get(actor, deployment)
    headers = {"Content-Disposition": f'attachment; filename="{found.id}.log"', "Cache-Control": "no-store"}
    body = _text(services.logs, found.id)
    return StreamingResponse(body, headers=headers, media_type="text/plain; charset=utf-8")


async def _text(logs: LogService, deployment: str) -> AsyncIterator[str]:
    after = -1
    while lines := await logs.read(deployment, after, _LINES_PER_READ):
        yield "".join(f"{rfc3339(line.ts)} {plain.text(line.text)}\n" for line in lines)
        after = lines[-1].seq


@router.websocket("/deployments/{deployment}/logs/stream")
async def stream_log(socket: WebSocket, actor: Acting, services: Wired, deployment: str, after: After = -1) -> None:
    """Every line above `after` as it comes, then the state that it ended with."""
    async with aclosing(await services.deployments.log.follow(actor, deployment, after)) as lines:
        await LogStream(socket, services, deployment).run(_messages(lines, after))


@router.get("/deployments/{deployment}/logs/stream", dependencies=BY_PERSON)
async def stream_log_over_http(
    request: Request,
    actor: Acting,
    services: Wired,
    deployment: str,
    after: After = -1,
    last_event_id: Annotated[
        int | None, Header(ge=-1, description="Goes before `after`; EventSource sends it.")
    ] = None,
) -> Response:
    """The same as Server-Sent Events, or as one JSON object a line where `Accept` asks for application/x-ndjson."""
    start = after if last_event_id is None else last_event_id
    lines = await services.deployments.log.follow(actor, deployment, start)
    encoding = encoding_for(request.headers.get("accept", ""))
    stream = HttpLogStream(request, services, deployment, encoding)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(
        stream.body(lines, _messages(lines, start)), headers=headers, media_type=encoding.media_type
    )


async def _messages(lines: AsyncIterator[LogLine], after: int) -> AsyncIterator[msgspec.Struct]:
    """The lines, and in the place of those that never come, that they do not."""
    async for line in lines:
        if line.seq > after + 1:
            yield Skipped(first=after + 1, last=line.seq - 1)
        yield line_view(line)
        after = line.seq


def line_view(line: LogLine) -> LineView:
    return LineView(
        seq=line.seq,
        ts=rfc3339(line.ts),
        stream=line.stream,
        level=line.level,
        step=line.step,
        text=line.text,
        attempt=line.attempt,
        partial=line.partial,
    )
