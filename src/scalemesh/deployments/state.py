"""The only writer of a deployment's state."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from scalemesh.core.state import TERMINAL, Event, State, next_state
from scalemesh.db.tables import Deployment
from scalemesh.errors import Conflict, NotFound

MAX_MESSAGE = 2000


@dataclass(frozen=True)
class Cause:
    """Why a deployment ended: `error.code` and `error.message`."""

    code: str
    message: str


CANCELED = Cause("canceled", "Canceled.")


async def locked(session: AsyncSession, deployment_id: str) -> Deployment:
    """The row, locked until the end of the transaction. Raises NotFound."""
    query = select(Deployment).where(Deployment.id == deployment_id).with_for_update(key_share=True)
    row = (await session.scalars(query.execution_options(populate_existing=True))).first()
    if row is None:
        raise NotFound(f"No deployment {deployment_id!r}.", code="deployment_not_found")
    return row


async def apply(
    session: AsyncSession,
    deployment_id: str,
    event: Event,
    *,
    attempt: int,
    now: int,
    cause: Cause | None = None,
    deadline_at: int | None = None,
    not_before: int = 0,
) -> Deployment:
    """Moves the deployment along the table. Raises Conflict for a fenced attempt or an event its state does not allow.

    `attempt` is the number that the caller believes to be current. CLAIMED starts the next one.
    """
    row = await locked(session, deployment_id)
    if row.attempt != attempt:
        raise Conflict(f"Attempt {attempt} of {row.id} is over; it is at {row.attempt}.", code="attempt_over")
    return advance(row, event, now=now, cause=cause, deadline_at=deadline_at, not_before=not_before)


def advance(
    row: Deployment,
    event: Event,
    *,
    now: int,
    cause: Cause | None = None,
    deadline_at: int | None = None,
    not_before: int = 0,
) -> Deployment:
    """As `apply`, for a row that the caller holds locked."""
    after = next_state(State(row.state), event)
    if after is None:
        raise Conflict(f"{row.id} is {row.state}: {event} does not apply.", code="wrong_state")
    row.state = after
    if event is Event.CLAIMED:
        row.attempt, row.started_at, row.deadline_at = row.attempt + 1, row.started_at or now, deadline_at
        row.steps, row.plan = "[]", None
    elif event is Event.REQUEUED:
        row.not_before, row.deadline_at = not_before, None
    if after in TERMINAL:
        row.finished_at, row.deadline_at = now, None
        row.ready_at = now if after is State.READY else None
    if after is State.READY:
        row.error_code = row.error_message = None  # a cancel that came too late
    if cause is not None:
        row.error_code, row.error_message = cause.code[:64], cause.message[:MAX_MESSAGE]
    return row


def request_cancel(row: Deployment, now: int, cause: Cause) -> None:
    """Of a locked one that runs: it ends once its dispatcher has stopped it, for the first cause given."""
    if row.cancel_requested_at is None:
        row.cancel_requested_at, row.error_code, row.error_message = now, cause.code, cause.message


def cause_of_cancel(row: Deployment) -> Cause:
    return Cause(row.error_code, row.error_message or "") if row.error_code else CANCELED
