"""Search in the logs of one deployment, or of all of a project's."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from fastapi import Depends, Query

from scalemesh.api.documents import v1
from scalemesh.api.identity import BY_PERSON, Acting
from scalemesh.api.routes.logs import LineView, line_view
from scalemesh.api.services import Wired
from scalemesh.core.logs import Level, Stream
from scalemesh.core.page import Page
from scalemesh.logs.hits import MAX_CONTEXT, Found, Hit
from scalemesh.logs.search import MAX_QUERY, Mode, Search

router = v1()

Cursor = Annotated[str | None, Query(description="`next` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=200)]
Context = Annotated[int, Query(ge=0, le=MAX_CONTEXT, description="So many lines before and after each hit.")]


class HitView(msgspec.Struct, frozen=True, kw_only=True):
    """`ranges`: what matched in `line.text`, as [start, end) in Unicode characters."""

    deployment: str
    line: LineView
    ranges: list[tuple[int, int]]
    before: list[LineView]
    after: list[LineView]


async def _search(
    q: Annotated[str, Query(max_length=MAX_QUERY)] = "",
    mode: Annotated[Mode, Query(description="`regex` is RE2's; `words` and `substring` ignore case.")] = "words",
    level: Level | None = None,
    step: str | None = None,
    stream: Stream | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Search:
    return Search(q, mode, level, step, stream, _ms(since), _ms(until))


Asked = Annotated[Search, Depends(_search)]


@router.get("/deployments/{deployment}/logs/search", dependencies=BY_PERSON)
async def search_log(
    actor: Acting,
    services: Wired,
    deployment: str,
    search: Asked,
    cursor: Cursor = None,
    limit: Limit = 50,
    context: Context = 0,
) -> Page[HitView]:
    """Lines that match, in their order. All that is given must hold."""
    return _page(await services.deployments.log.search(actor, deployment, search, cursor, limit, context))


@router.get("/projects/{project}/logs/search", dependencies=BY_PERSON)
async def search_logs(
    actor: Acting,
    services: Wired,
    project: str,
    search: Asked,
    cursor: Cursor = None,
    limit: Limit = 50,
    context: Context = 0,
) -> Page[HitView]:
    """Lines that match in the logs of all deployments: newest deployment first, each log in its order.

    A page takes five seconds at the most. With a `next` there is more to search, however few hits the page has.
    """
    return _page(await services.deployments.log.search_project(actor, project, search, cursor, limit, context))


def _page(found: Found) -> Page[HitView]:
    return Page([_view(hit) for hit in found.hits], found.next)


def _view(hit: Hit) -> HitView:
    return HitView(
        deployment=hit.line.deployment,
        line=line_view(hit.line),
        ranges=[*hit.ranges],
        before=[line_view(line) for line in hit.before],
        after=[line_view(line) for line in hit.after],
    )


def _ms(at: datetime | None) -> int | None:
    """UTC where it names no zone."""
    if at is None:
        return None
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)
