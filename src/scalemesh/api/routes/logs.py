"""`deployments/{id}/logs` and its live stream."""

from contextlib import aclosing
from typing import Annotated

import msgspec
from fastapi import Query, WebSocket

from scalemesh.api.documents import v1
from scalemesh.api.identity import BY_PERSON, Acting
from scalemesh.api.services import Wired
from scalemesh.api.stream import LogStream
from scalemesh.core.clock import rfc3339
from scalemesh.core.logs import LogLine

router = v1()

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
    lines = [line_view(line) for line in await services.deployments.log(actor, deployment, after, limit)]
    return LogPage(lines=lines, next=lines[-1].seq if lines else after)


@router.websocket("/deployments/{deployment}/logs/stream")
async def stream_log(socket: WebSocket, actor: Acting, services: Wired, deployment: str, after: After = -1) -> None:
    """Every line above `after` as it comes, then the state that it ended with."""
    async with aclosing(await services.deployments.follow_log(actor, deployment, after)) as lines:
        await LogStream(socket, services, deployment).run(line_view(line) async for line in lines)


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
