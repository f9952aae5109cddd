"""Pages of search hits: lines with what to highlight, and the lines around them.

A page takes PAGE_S at the most: then it ends with what has been found, and with the cursor from which to go on.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from scalemesh.core.logs import LogLine
from scalemesh.errors import InvalidInput
from scalemesh.logs.archive.base import Archive
from scalemesh.logs.search import TOO_LONG, Search

MAX_CONTEXT = 20
PAGE_S = 5.0
_QUERY_S = 1.0  # what the next query is meant to take, by what the last one did
_GROWTH = 10  # a common word is in the first deployment; a rare one should not cost a query for each
_MOST_AT_ONCE = 1000  # their ids travel in the query


@dataclass(frozen=True)
class Hit:
    """`ranges`: what matched, as (start, end) in characters of the line's text."""

    line: LogLine
    ranges: Sequence[tuple[int, int]]
    before: Sequence[LogLine] = ()
    after: Sequence[LogLine] = ()


@dataclass(frozen=True)
class Found:
    """`next` is the cursor of the page behind this one; None where there is none. There may be one without hits."""

    hits: Sequence[Hit]
    next: str | None


async def find(
    archive: Archive, deployments: Sequence[str], search: Search, cursor: str | None, *, limit: int, context: int
) -> Found:
    """At most `limit` hits after `cursor`, deployments in the order given, each by seq. Raises InvalidInput, also where
    one deployment alone takes too long."""
    search.check()
    remaining, after = _resume(deployments, cursor)
    lines: list[LogLine] = []
    size, ends = 1, time.monotonic() + PAGE_S
    while remaining and len(lines) <= limit:
        began = time.monotonic()
        try:
            lines += await archive.find(remaining[:size], search, after, limit + 1 - len(lines))
        except InvalidInput as error:
            if error.code != TOO_LONG or size == 1:
                raise
            size = 1
        else:
            remaining, after = remaining[size:], -1
            size = _next_size(size, time.monotonic() - began)
        if time.monotonic() > ends:
            break
    page = lines[:limit]
    hits = await asyncio.gather(*(_hit(archive, line, search, min(context, MAX_CONTEXT)) for line in page))
    if len(lines) > limit:
        return Found(hits, f"{page[-1].deployment}:{page[-1].seq}")
    return Found(hits, f"{remaining[0]}:" if remaining else None)


def _next_size(size: int, took_s: float) -> int:
    """How many deployments to ask for at once."""
    return max(1, min(size * _GROWTH, _MOST_AT_ONCE, int(size * _QUERY_S / max(took_s, 0.001))))


def _resume(deployments: Sequence[str], cursor: str | None) -> tuple[Sequence[str], int]:
    if cursor is None:
        return deployments, -1
    deployment, _, seq = cursor.rpartition(":")
    if deployment in deployments and not seq:
        return deployments[deployments.index(deployment) :], -1
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
