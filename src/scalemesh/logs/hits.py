"""Pages of search hits: lines with what to highlight, and the lines around them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from scalemesh.core.logs import LogLine
from scalemesh.errors import InvalidInput
from scalemesh.logs.archive.base import Archive
from scalemesh.logs.search import Search

MAX_CONTEXT = 20
_GROWTH = 4  # a common word is in the first deployment; a rare one should not cost a query for each
_MOST_AT_ONCE = 256  # their ids travel in the query


@dataclass(frozen=True)
class Hit:
    """`ranges`: what matched, as (start, end) in characters of the line's text."""

    line: LogLine
    ranges: Sequence[tuple[int, int]]
    before: Sequence[LogLine] = ()
    after: Sequence[LogLine] = ()


@dataclass(frozen=True)
class Found:
    """`next` is the cursor of the page behind this one; None where there is none."""

    hits: Sequence[Hit]
    next: str | None


async def find(
    archive: Archive, deployments: Sequence[str], search: Search, cursor: str | None, *, limit: int, context: int
) -> Found:
    """At most `limit` hits after `cursor`, deployments in the order given, each by seq. Raises InvalidInput."""
    search.check()
    remaining, after = _resume(deployments, cursor)
    lines: list[LogLine] = []
    size = 1
    while remaining and len(lines) <= limit:
        some, remaining = remaining[:size], remaining[size:]
        lines += await archive.find(some, search, after, limit + 1 - len(lines))
        after, size = -1, min(size * _GROWTH, _MOST_AT_ONCE)
    page = lines[:limit]
    hits = await asyncio.gather(*(_hit(archive, line, search, min(context, MAX_CONTEXT)) for line in page))
    return Found(hits, f"{page[-1].deployment}:{page[-1].seq}" if len(lines) > limit else None)


def _resume(deployments: Sequence[str], cursor: str | None) -> tuple[Sequence[str], int]:
    if cursor is None:
        return deployments, -1
    deployment, _, seq = cursor.rpartition(":")
    if deployment not in deployments or not (seq.isascii() and seq.isdigit() and len(seq) < 12):
        raise InvalidInput("cursor: not one of this search", code="invalid_cursor", field="cursor")
    return deployments[deployments.index(deployment) :], int(seq)


async def _hit(archive: Archive, line: LogLine, search: Search, context: int) -> Hit:
    ranges = search.ranges(line.text)
    if not context:
        return Hit(line, ranges)
    first = max(line.seq - context, 0)
    around = await archive.read(line.deployment, first - 1, line.seq - first + context + 1)
    before = [each for each in around if each.seq < line.seq]
    return Hit(line, ranges, before, [each for each in around if line.seq < each.seq <= line.seq + context])
