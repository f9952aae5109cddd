"""The queue: what the dispatcher takes, holds and gives back. Every method may be repeated."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from sqlalchemy import Select, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from scalemesh.core.build import CacheScope, Limits
from scalemesh.core.ids import new_id, new_secret, secret_hash
from scalemesh.core.logs import LogLine
from scalemesh.core.state import Event, State
from scalemesh.db import Database, Wakeup
from scalemesh.db.tables import Attempt, Deployment
from scalemesh.deployments import fairness, journal, totals
from scalemesh.deployments.caches import scope_of
from scalemesh.deployments.ending import attempt_row, end
from scalemesh.deployments.policy import BuildPolicy
from scalemesh.deployments.state import CANCELED, Cause, advance
from scalemesh.logs.service import LogService

_CLAIM_LOCK = 0x5CA1E3E6
_REPORT_S = 60  # an agent ends its build by its own clock first, and says more about it

Reason = Literal["cancel", "deadline", "lease", "clean"]


@dataclass(frozen=True)
class Claimed:
    """One attempt to launch. `token` opens it; only its hash is kept."""

    attempt: str
    number: int
    deployment: str
    project: str
    team: str
    target: str
    token: str = field(repr=False)
    limits: Limits

    @property
    def caches(self) -> CacheScope:
        return scope_of(self.project, self.target)


@dataclass(frozen=True)
class ClaimLimits:
    """Builds at once, of this dispatcher, of a team and of a project that sets none of its own; 0 is no limit."""

    dispatcher: int = 0
    team: int = 0
    project: int = 0


@dataclass(frozen=True)
class Live:
    """An attempt that may still have something running somewhere; `handle` None: never launched, as far as we know."""

    attempt: str
    deployment: str
    number: int
    backend: str
    dispatcher: str
    handle: Any


@dataclass(frozen=True)
class Due:
    """A live attempt that needs an act: stop it, then canceled / fail / requeue / cleaned.

    `keep`: it succeeded, and what it leaves belongs to these caches.
    """

    live: Live
    reason: Reason
    keep: CacheScope | None = None


class Queue:
    """Over the database: rows in the state `queued`, and one Attempt row for each claim."""

    def __init__(
        self, db: Database, logs: LogService, wakeup: Wakeup, policy: BuildPolicy, clock: Callable[[], int]
    ) -> None:
        self._db = db
        self._logs = logs
        self._wakeup = wakeup
        self._policy = policy
        self._clock = clock

    async def claim(self, dispatcher: str, backend: str, limits: ClaimLimits, most: int = 1) -> Sequence[Claimed]:
        """The next deployments to build, `most` at once, in one transaction; whose turn it is says `fairness`."""
        if not self._policy.has_room():
            return []
        async with self._db.write() as session:
            now = self._clock()
            await _one_claim_at_a_time(session)
            if limits.dispatcher:
                most = min(most, limits.dispatcher - await _running(session, dispatcher))
            shares = fairness.Shares(self._policy.team_weights, limits.team, limits.project)
            rows = await fairness.take(session, now, shares, most) if most > 0 else []
            made = [self._begin(row, dispatcher, backend, now) for row in rows]
            session.add_all(attempt for _, attempt, _ in made)
            await totals.add(session, totals.of_claims(rows, now))
        await journal.publish(self._logs, *(line for _, _, line in made))
        for row in rows:
            self._wakeup.notify(f"deployment:{row.id}")
        return [claimed for claimed, _, _ in made]

    async def set_handle(self, attempt_id: str, handle: Any) -> None:
        """Keeps the backend's JSON handle; call it as soon as there is one."""
        async with self._db.write() as session:
            (await attempt_row(session, attempt_id)).handle = msgspec.json.encode(handle).decode()

    async def extend(self, attempt_id: str, seconds: int) -> None:
        """Nobody need hear from this attempt for so long: while a toolchain is being fetched, for example."""
        until = self._clock() + seconds * 1000
        async with self._db.write() as session:
            attempt = await attempt_row(session, attempt_id)
            attempt.lease_expires_at = max(attempt.lease_expires_at, until)

    async def renew(self, dispatcher: str) -> None:
        """At a dispatcher's start: its agents could not reach us either, so they get a whole lease to do so."""
        until = self._clock() + self._policy.lease_s * 1000
        late = (Attempt.dispatcher == dispatcher, Attempt.ended_at.is_(None), Attempt.lease_expires_at < until)
        async with self._db.write() as session:
            await session.execute(update(Attempt).where(*late).values(lease_expires_at=until))

    async def due(self, dispatcher: str) -> list[Due]:
        """What needs an act. Cleaning is listed for this dispatcher's own attempts; lost leases for everybody's."""
        now = self._clock()
        own = Attempt.dispatcher == dispatcher
        lost = Attempt.lease_expires_at <= now
        needs = or_(
            own & Attempt.ended_at.is_not(None),
            Attempt.ended_at.is_(None)
            & or_(lost, own & (Deployment.cancel_requested_at.is_not(None) | (Deployment.deadline_at <= now))),
        )
        async with self._db.read() as session:
            rows = (await session.execute(_uncleaned().where(needs))).all()
        return [
            Due(_live(attempt), _reason(attempt, deployment, now), _kept(attempt, deployment))
            for attempt, deployment in rows
        ]

    async def live(self, dispatcher: str | None) -> list[Live]:
        """This dispatcher's attempts (None: everybody's) that have not been cleaned up: a sweeper leaves them alone."""
        query = _uncleaned() if dispatcher is None else _uncleaned().where(Attempt.dispatcher == dispatcher)
        async with self._db.read() as session:
            rows = (await session.execute(query)).all()
        return [_live(attempt) for attempt, _ in rows]

    async def requeue(self, attempt_id: str, reason: str, *, code: str = "infrastructure") -> State | None:
        """The platform's fault: another attempt after a pause, or `error` when there have been enough.

        `code=SHUTDOWN` is a clean stop: at once, and not counted. None when the attempt is over already.
        """
        return await self._end(attempt_id, Event.REQUEUED, Cause(code, reason))

    async def fail(self, attempt_id: str, code: str, message: str) -> State | None:
        """Ends in `error`: a deadline, a limit. None when the attempt is over already."""
        return await self._end(attempt_id, Event.FAILED, Cause(code, message))

    async def canceled(self, attempt_id: str) -> State | None:
        """The backend has stopped it. None when the attempt is over already."""
        return await self._end(attempt_id, Event.CANCELED, CANCELED)

    async def cleaned(self, attempt_id: str) -> None:
        """Nothing of this attempt is left: no process, mount, cgroup or file."""
        now = self._clock()
        over = (Attempt.id == attempt_id, Attempt.ended_at.is_not(None), Attempt.cleaned_at.is_(None))
        async with self._db.write() as session:
            await session.execute(update(Attempt).where(*over).values(cleaned_at=now))

    def _begin(self, row: Deployment, dispatcher: str, backend: str, now: int) -> tuple[Claimed, Attempt, LogLine]:
        """The next attempt at a deployment that is held locked."""
        deadline_at = now + (self._policy.limits.build_timeout_s + _REPORT_S) * 1000
        advance(row, Event.CLAIMED, now=now, deadline_at=deadline_at)
        line = journal.reserve(row, f"Starting a build server (attempt {row.attempt})", now)
        token = new_secret("smb")
        attempt = Attempt(
            id=new_id("att"),
            deployment_id=row.id,
            number=row.attempt,
            token_hash=secret_hash(token),
            backend=backend,
            dispatcher=dispatcher,
            lease_expires_at=now + self._policy.launch_s * 1000,
            first_seq=row.log_next,
            created_at=now,
        )
        claimed = Claimed(
            attempt.id, row.attempt, row.id, row.project_id, row.team_id, row.target, token, self._policy.limits
        )
        return claimed, attempt, line

    async def _end(self, attempt_id: str, event: Event, cause: Cause) -> State | None:
        async with self._db.write() as session:
            ended = await end(session, attempt_id, event, cause, self._policy, self._clock())
        if ended is None:
            return None
        row, line = ended
        await journal.publish(self._logs, line)
        self._wakeup.notify("queue", "attempts", f"deployment:{row.id}")
        return State(row.state)


async def _one_claim_at_a_time(session: AsyncSession) -> None:
    """The limits count rows that a claim at the same time would not see; SQLite writes one at a time anyway.

    It is short, and takes many: a dispatcher that waits here finds more slots free, and claims for all of them.
    """
    if session.get_bind().dialect.name == "postgresql":
        await session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _CLAIM_LOCK})


async def _running(session: AsyncSession, dispatcher: str) -> int:
    live = (Attempt.dispatcher == dispatcher, Attempt.ended_at.is_(None), Attempt.cleaned_at.is_(None))
    query = select(func.count()).where(*live)
    return await session.scalar(query) or 0


def _uncleaned() -> Select[Attempt, Deployment]:
    return (
        select(Attempt, Deployment)
        .join(Deployment, Deployment.id == Attempt.deployment_id)
        .where(Attempt.cleaned_at.is_(None))
        .order_by(Attempt.id)
    )


def _reason(attempt: Attempt, deployment: Deployment, now: int) -> Reason:
    if attempt.ended_at is not None:
        return "clean"
    if deployment.cancel_requested_at is not None:
        return "cancel"
    return "deadline" if (deployment.deadline_at or now + 1) <= now else "lease"


def _kept(attempt: Attempt, deployment: Deployment) -> CacheScope | None:
    if attempt.outcome != State.READY:
        return None
    return scope_of(deployment.project_id, deployment.target)


def _live(row: Attempt) -> Live:
    handle = msgspec.json.decode(row.handle) if row.handle else None
    return Live(row.id, row.deployment_id, row.number, row.backend, row.dispatcher, handle)
