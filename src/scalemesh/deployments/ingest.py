"""What an agent reports: log lines that continue the cursor, and events that continue their count."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import structlog
from sqlalchemy import select, update
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
from scalemesh.core.grouping import Grouped
from scalemesh.core.logs import MAX_LINE_BYTES, LogLine
from scalemesh.core.state import ACTIVE
from scalemesh.db import Database
from scalemesh.db.tables import Attempt, Deployment
from scalemesh.deployments.views import StepRow
from scalemesh.errors import InvalidInput

GROUP = 100
MAX_DETAIL = 500
MAX_COMMIT_MESSAGE = 4000
MAX_AUTHOR = 300

log = structlog.get_logger(__name__)


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


@dataclass(frozen=True)
class Advance:
    """An attempt's wish to move its deployment's cursor past `count` lines from number `first` on."""

    deployment: str
    attempt: str
    first: int
    count: int


class Cursors:
    """Advances that arrive while one transaction runs share the next one. Each keeps its own fence."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._advancing: Grouped[Advance, Cursor | None] = Grouped(self._write, GROUP)

    async def advance(self, wanted: Advance) -> Cursor | None:
        """None: the attempt is over, or the lines leave a gap.

        Lines from below the cursor are a batch sent again: they are accepted, and published again.
        """
        return await self._advancing(wanted)

    async def _write(self, group: Sequence[Advance]) -> Sequence[Cursor | Exception | None]:
        try:
            return await self._commit(group)
        except Exception:
            log.exception("log cursors are written one by one", count=len(group))
        return [await self._alone(wanted) for wanted in group]

    async def _alone(self, wanted: Advance) -> Cursor | Exception | None:
        try:
            return (await self._commit([wanted]))[0]
        except Exception as error:  # noqa: BLE001  it is raised where the answer is awaited
            return error

    async def _commit(self, group: Sequence[Advance]) -> list[Cursor | None]:
        async with self._db.write() as session:
            return await _advance(session, group)


async def _advance(session: AsyncSession, group: Sequence[Advance]) -> list[Cursor | None]:
    """Two statements for all: the rows, locked in the order of deployments; the cursors that the fence lets move."""
    query = (
        select(
            Attempt.id,
            Attempt.number == Deployment.attempt,
            Deployment.state,
            Deployment.log_next,
            Attempt.first_seq,
            Attempt.events_next,
            Deployment.cancel_requested_at,
        )
        .join(Deployment, Deployment.id == Attempt.deployment_id)
        .where(Attempt.id.in_({wanted.attempt for wanted in group}))
        .order_by(Deployment.id)
        .with_for_update(of=Deployment)
    )
    current = {
        attempt: (log_next, first_seq, events_next, canceled_at is not None)
        for attempt, is_latest, state, log_next, first_seq, events_next, canceled_at in await session.execute(query)
        if is_latest and state in ACTIVE
    }
    moved: dict[str, int] = {}
    answers = [_moved(wanted, current.get(wanted.attempt), moved) for wanted in group]
    if moved:
        rows = [{"id": deployment, "log_next": log_next} for deployment, log_next in moved.items()]
        await session.execute(update(Deployment), rows)
    return answers


def _moved(wanted: Advance, current: tuple[int, int, int, bool] | None, moved: dict[str, int]) -> Cursor | None:
    """The answer to one, after those before it: `moved` holds the cursors that this group has moved so far."""
    if current is None:
        return None
    log_next, first_seq, events_next, canceled = current
    log_next = moved.get(wanted.deployment, log_next)
    if not first_seq <= wanted.first <= log_next:
        return None
    if wanted.first + wanted.count > log_next:
        log_next = moved[wanted.deployment] = wanted.first + wanted.count
    return Cursor(True, log_next, events_next, canceled)


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
