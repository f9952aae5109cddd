"""How much there is of what, over all teams: for /metrics."""

from collections import defaultdict
from collections.abc import Mapping

import msgspec
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from scalemesh.core.state import State
from scalemesh.db import Database
from scalemesh.db.tables import Attempt, Deployment
from scalemesh.deployments.views import StepRow

_SAMPLE = 100  # the last deployments that have ended
_REAPED = ("lease_lost", "timeout", "build_server_died")
Gauges = Mapping[str, Mapping[str, float]]


async def by_state(db: Database) -> dict[State, int]:
    """Deployments in each state."""
    query = select(Deployment.state, func.count()).group_by(Deployment.state)
    async with db.read() as session:
        found = {State(state): count for state, count in await session.execute(query)}
    return {state: found.get(state, 0) for state in State}


async def queue(db: Database, now: int) -> Gauges:
    """The queue and its attempts: name → labels → value. Totals are of the deployments that have not been deleted."""
    async with db.read() as session:
        return {**await _waiting(session, now), **await _attempts(session), **await _lately(session)}


async def _waiting(session: AsyncSession, now: int) -> Gauges:
    query = select(Deployment.target, func.count(), func.min(Deployment.created_at)).group_by(Deployment.target)
    rows = (await session.execute(query.where(Deployment.state == State.QUEUED))).all()
    oldest = min((created for _, _, created in rows), default=now)
    return {
        "scalemesh_queue_depth": {f'target="{target}"': count for target, count, _ in rows} or {"": 0},
        "scalemesh_queue_oldest_seconds": {"": (now - oldest) / 1000},
    }


async def _attempts(session: AsyncSession) -> Gauges:
    claims, retries = (await session.execute(select(func.count(), func.count().filter(Attempt.number > 1)))).one()
    reaped = await session.scalar(select(func.count()).where(Attempt.outcome.in_(_REAPED)))
    return {
        "scalemesh_claims": {"": claims},
        "scalemesh_retries": {"": retries},
        "scalemesh_reaped": {"": reaped or 0},
    }


async def _lately(session: AsyncSession) -> Gauges:
    """Averages over the last deployments that were built."""
    query = select(Deployment.created_at, Deployment.started_at, Deployment.steps).where(
        Deployment.finished_at.is_not(None), Deployment.attempt > 0
    )
    rows = (await session.execute(query.order_by(Deployment.id.desc()).limit(_SAMPLE))).all()
    waits = [started - created for created, started, _ in rows if started is not None]
    took: defaultdict[str, list[int]] = defaultdict(list)
    for _, _, steps in rows:
        for step in msgspec.json.decode(steps, type=list[StepRow]):
            if step.finished_at is not None:
                took[step.step].append(step.finished_at - step.started_at)
    return {
        "scalemesh_recent_queue_wait_seconds": {"": _mean_s(waits)} if waits else {},
        "scalemesh_recent_step_seconds": {f'step="{step}"': _mean_s(times) for step, times in took.items()},
    }


def _mean_s(times: list[int]) -> float:
    return sum(times) / len(times) / 1000
