"""How an attempt ends: once, under the deployment's lock, with a line in its log."""

from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from scalemesh.core.logs import LogLine
from scalemesh.core.state import ACTIVE, Event
from scalemesh.db.tables import Attempt, Deployment
from scalemesh.deployments import journal, totals
from scalemesh.deployments.policy import BuildPolicy
from scalemesh.deployments.state import Cause, apply, cause_of_cancel, locked
from scalemesh.errors import NotFound

SHUTDOWN = "shutdown"  # a clean stop: again at once, and no fault
REAPED = frozenset(("lease_lost", "timeout", "build_server_died"))  # ended by the dispatcher, not by their agents
_BACKOFF_MS = 2000
_LEVELS: dict[Event, Literal["info", "warn", "error"]] = {
    Event.REQUEUED: "warn",
    Event.FAILED: "error",
    Event.CANCELED: "warn",
}


async def end(
    session: AsyncSession, attempt_id: str, event: Event, cause: Cause, policy: BuildPolicy, now: int
) -> tuple[Deployment, LogLine] | None:
    """Ends the attempt and applies the event; None when it is over already. Publish the line after the commit.

    A requeue becomes a cancel where one was asked for, and an error after the last attempt.
    """
    found = await attempt_row(session, attempt_id)
    row = await locked(session, found.deployment_id)
    attempt = await attempt_row(session, attempt_id)  # as it is now that we hold the deployment
    if attempt.ended_at is not None or row.attempt != attempt.number or row.state not in ACTIVE:
        return None
    attempt.ended_at, attempt.token_hash, attempt.outcome = now, None, cause.code[:64]
    not_before = now
    if event is Event.REQUEUED:
        faults = await _faults(session, row.id)
        not_before += 0 if cause.code == SHUTDOWN else _BACKOFF_MS * 2 ** (faults - 1)
        if row.cancel_requested_at is not None:
            event = Event.CANCELED
        elif faults >= policy.attempts:
            event, cause = Event.FAILED, Cause(cause.code, f"{cause.message} (tried {faults} times)")
    if event is Event.CANCELED and row.cancel_requested_at is not None:
        cause = cause_of_cancel(row)
    again = event is Event.REQUEUED
    line = journal.reserve(row, f"{cause.message} Trying again." if again else cause.message, now, _LEVELS[event])
    ended = await apply(
        session,
        row.id,
        event,
        attempt=row.attempt,
        now=now,
        cause=None if again else cause,
        not_before=not_before,
    )
    await totals.add(session, {**totals.of_steps(row), "reaped": int(attempt.outcome in REAPED)})
    return ended, line


async def attempt_row(session: AsyncSession, attempt_id: str) -> Attempt:
    row = await session.get(Attempt, attempt_id, populate_existing=True)
    if row is None:
        raise NotFound(f"No attempt {attempt_id!r}.", code="attempt_not_found")
    return row


async def _faults(session: AsyncSession, deployment_id: str) -> int:
    """How many attempts the platform has lost, this one included; clean shutdowns left out."""
    await session.flush()
    query = select(func.count()).where(
        Attempt.deployment_id == deployment_id, Attempt.ended_at.is_not(None), Attempt.outcome != SHUTDOWN
    )
    return await session.scalar(query) or 0
