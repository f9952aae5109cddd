"""Who asked a project's sites for what: single records, and totals over time."""

from datetime import UTC, datetime
from typing import Annotated, Literal

import msgspec
from fastapi import Depends, Query

from scalemesh.api.documents import v1
from scalemesh.api.identity import BY_PERSON, Acting
from scalemesh.api.services import Wired
from scalemesh.core.access import LATENCY_BOUNDS_US, MAX_AT, Cache
from scalemesh.core.clock import now_ms, rfc3339
from scalemesh.core.page import Page
from scalemesh.errors import InvalidInput
from scalemesh.logs.access.base import Found, Place, Wanted
from scalemesh.logs.access.summary import Figures, by_step, figures

Step = Literal["second", "minute", "hour"]
STEP_MS: dict[Step, int] = {"second": 1000, "minute": 60_000, "hour": 3_600_000}
MAX_POINTS = 1500
DEFAULT_POINTS = 60

router = v1()


class AccessView(msgspec.Struct, frozen=True, kw_only=True):
    """One request. `rate`: the share of the requests of that second that have a record, so it stands for 1/`rate`."""

    id: str
    at: str
    host: str
    method: str
    path: str
    status: int
    cache: Cache
    bytes: int
    took_ms: float
    client: str
    rate: float


class PointView(msgspec.Struct, frozen=True, kw_only=True):
    at: str
    figures: Figures


class SummaryView(msgspec.Struct, frozen=True, kw_only=True):
    """Of every request, with or without a record. `points` are those steps in which there were any.

    `latency.counts[n]` are the answers that took less than `latency_bounds_us[n]`; the last count, longer than all.
    """

    since: str
    until: str
    step_s: int
    latency_bounds_us: list[int]
    total: Figures
    points: list[PointView]


async def _statuses(
    status: Annotated[
        str | None, Query(pattern=r"^([1-5][0-9][0-9]|[1-5]xx)$", description="`404`, or a class: `4xx`.")
    ] = None,
) -> tuple[int, int]:
    if status is None:
        return 100, 599
    return int(status.replace("x", "0")), int(status.replace("x", "9"))


Statuses = Annotated[tuple[int, int], Depends(_statuses)]


@router.get("/projects/{project}/access", dependencies=BY_PERSON)
async def list_access(
    actor: Acting,
    services: Wired,
    project: str,
    statuses: Statuses,
    since: datetime | None = None,
    until: datetime | None = None,
    cursor: Annotated[str | None, Query(max_length=200, description="`next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Page[AccessView]:
    """Single requests, newest first. Where there were many at once, these are some of them: see `rate`."""
    row = await services.projects.row(actor, project)
    wanted = Wanted(row.id, _ms(since, 0), _ms(until, MAX_AT), statuses)
    found = await services.logs.access.records(wanted, None if cursor is None else _place(cursor), limit + 1)
    more = _id(found[limit - 1].place) if len(found) > limit else None
    return Page([_view(one) for one in found[:limit]], more)


@router.get("/projects/{project}/access/summary", dependencies=BY_PERSON)
async def sum_access(
    actor: Acting,
    services: Wired,
    project: str,
    statuses: Statuses,
    since: datetime | None = None,
    until: datetime | None = None,
    step: Step = "minute",
) -> SummaryView:
    """Requests, bytes, statuses, cache states and latency; without `since`, of the last sixty steps."""
    row = await services.projects.row(actor, project)
    step_ms = STEP_MS[step]
    last = _ms(until, now_ms())
    first = _ms(since, last - DEFAULT_POINTS * step_ms)
    if last - first > MAX_POINTS * step_ms:
        raise InvalidInput(
            f"That is more than {MAX_POINTS} steps of one {step}.",
            code="too_many_steps",
            hint="Ask for a longer step or a shorter time.",
            field="step",
        )
    sums = await services.logs.access.sums(Wanted(row.id, first, last, statuses), step_ms)
    return SummaryView(
        since=rfc3339(first),
        until=rfc3339(last),
        step_s=step_ms // 1000,
        latency_bounds_us=[*LATENCY_BOUNDS_US],
        total=figures(sums),
        points=[PointView(at=rfc3339(at), figures=of_step) for at, of_step in by_step(sums)],
    )


def _view(found: Found) -> AccessView:
    record = found.record
    return AccessView(
        id=_id(found.place),
        at=rfc3339(record.at),
        host=record.host,
        method=record.method,
        path=record.path,
        status=record.status,
        cache=record.cache,
        bytes=record.bytes,
        took_ms=record.took_us / 1000,
        client=record.client,
        rate=record.rate,
    )


def _id(place: Place) -> str:
    return f"{place.at}.{place.spool}.{place.number}.{place.index}"


def _place(cursor: str) -> Place:
    try:
        at, spool, number, index = cursor.split(".")
        place = Place(int(at), spool, int(number), int(index))
    except ValueError:
        place = None
    if place is None or not all(0 <= part < 2**53 for part in (place.at, place.number, place.index)):
        raise InvalidInput("That is not a cursor of this list.", code="invalid_cursor", field="cursor")
    return place


def _ms(at: datetime | None, default: int) -> int:
    """UTC where it names no zone."""
    if at is None:
        return default
    return min(max(int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000), 0), MAX_AT)
