"""What an agent reports: log lines that continue the cursor, and events that continue their count."""

from collections.abc import Sequence

import msgspec

from scalemesh.core.build import (
    BuildErrored,
    BuildEvent,
    PlanMade,
    SourceResolved,
    StepFinished,
    StepStarted,
)
from scalemesh.core.documents import encode
from scalemesh.core.logs import MAX_LINE_BYTES, LogLine
from scalemesh.db.tables import Attempt, Deployment
from scalemesh.deployments.views import StepRow
from scalemesh.errors import InvalidInput

MAX_DETAIL = 500
MAX_COMMIT_MESSAGE = 4000
MAX_AUTHOR = 300


def advance(row: Deployment, attempt: Attempt, lines: Sequence[LogLine]) -> bool:
    """Moves the cursor of a locked deployment past `lines`; False when they would leave a gap.

    Lines from below the cursor are a batch sent again: they are accepted, and published again, once more.
    """
    if not lines:
        return True
    first = lines[0].seq
    for seq, line in enumerate(lines, start=first):
        fits = line.deployment == row.id and line.attempt == attempt.number and line.seq == seq
        if not fits or first < attempt.first_seq or len(line.text.encode()) > MAX_LINE_BYTES:
            raise InvalidInput(f"Line {line.seq} does not belong here.", code="invalid_line")
    if first > row.log_next:
        return False
    row.log_next = max(row.log_next, first + len(lines))
    return True


def record(row: Deployment, attempt: Attempt, events: Sequence[BuildEvent]) -> BuildErrored | None:
    """Writes down the events not seen yet; answers the one that ends the attempt, if it is among them."""
    for event in events:
        if event.n < attempt.events_next:
            continue
        if event.n > attempt.events_next:
            return None
        attempt.events_next += 1
        if isinstance(event, BuildErrored):
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
