"""What an agent reports: log lines that continue the cursor, and events that continue their count."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import case, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from scalemesh.core.build import (
    BuildErrored,
    BuildEvent,
    BuildIgnored,
    PlanMade,
    SourceResolved,
    StepFinished,
    StepStarted,
)
from scalemesh.core.documents import encode
from scalemesh.core.logs import MAX_LINE_BYTES, LogLine
from scalemesh.core.state import ACTIVE
from scalemesh.db.tables import Attempt, Deployment
from scalemesh.deployments.views import StepRow
from scalemesh.errors import InvalidInput

MAX_DETAIL = 500
MAX_COMMIT_MESSAGE = 4000
MAX_AUTHOR = 300


@dataclass(frozen=True)
class Cursor:
    """Where an attempt's report stands; `taken`: the lines continued it."""

    taken: bool
    next_seq: int
    next_event: int
    canceled: bool


def check(deployment: str, number: int, lines: Sequence[LogLine]) -> None:
    """Raises InvalidInput unless the lines are this attempt's and follow on each other."""
    for seq, line in enumerate(lines, start=lines[0].seq if lines else 0):
        fits = line.deployment == deployment and line.attempt == number and line.seq == seq
        if not fits or len(line.text.encode()) > MAX_LINE_BYTES:
            raise InvalidInput(f"Line {line.seq} does not belong here.", code="invalid_line")


async def advance(
    session: AsyncSession, deployment: str, attempt: str, number: int, first: int, count: int
) -> Cursor | None:
    """Moves the cursor past `count` lines from number `first` on: one statement, which is the fence and the lock.

    None: the attempt is over, or the lines leave a gap. Lines from below the cursor are a batch sent again: they are
    accepted, and published again.
    """
    own = select(Attempt).where(Attempt.id == attempt).subquery()
    after = first + count
    query = (
        update(Deployment)
        .where(
            Deployment.id == deployment,
            Deployment.attempt == number,
            Deployment.state.in_(ACTIVE),
            Deployment.log_next >= first,
            select(own.c.first_seq).scalar_subquery() <= first,
        )
        .values(log_next=case((Deployment.log_next < after, after), else_=Deployment.log_next))
        .returning(Deployment.log_next, select(own.c.events_next).scalar_subquery(), Deployment.cancel_requested_at)
    )
    found = (await session.execute(query, execution_options={"synchronize_session": False})).first()
    return Cursor(True, found[0], found[1], found[2] is not None) if found else None


def record(row: Deployment, attempt: Attempt, events: Sequence[BuildEvent]) -> BuildErrored | BuildIgnored | None:
    """Writes down the events not seen yet; answers the one that ends the attempt, if it is among them."""
    for event in events:
        if event.n < attempt.events_next:
            continue
        if event.n > attempt.events_next:
            return None
        attempt.events_next += 1
        if isinstance(event, BuildErrored | BuildIgnored):
            return event
        _write(row, event)
    return None


def _write(row: Deployment, event: SourceResolved | PlanMade | StepStarted | StepFinished) -> None:
    if isinstance(event, SourceResolved):
        row.tree = event.tree[:64]
        row.commit_message = event.message[:MAX_COMMIT_MESSAGE]
        row.commit_author = event.author[:MAX_AUTHOR]
    elif isinstance(event, PlanMade):
        row.plan = encode(event.plan).decode()
    else:
        row.steps = _with_step(row.steps, event)


def _with_step(stored: str, event: StepStarted | StepFinished) -> str:
    steps = {step.step: step for step in msgspec.json.decode(stored, type=list[StepRow])}
    if isinstance(event, StepStarted):
        steps[event.step] = StepRow(step=event.step, started_at=event.at)
    else:
        step = steps.setdefault(event.step, StepRow(step=event.step, started_at=event.at))
        step.finished_at, step.exit_code, step.detail = event.at, event.exit_code, event.detail[:MAX_DETAIL]
    return msgspec.json.encode(list(steps.values())).decode()
