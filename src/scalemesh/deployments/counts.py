"""How much there is of what, over all teams: for /metrics."""

from collections.abc import Mapping

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from scalemesh.core.state import State
from scalemesh.db import Database
from scalemesh.db.tables import Deployment
from scalemesh.deployments import totals

Gauges = Mapping[str, Mapping[str, float]]


async def by_state(db: Database) -> dict[State, int]:
    """Deployments in each state."""
    query = select(Deployment.state, func.count()).group_by(Deployment.state)
    async with db.read() as session:
        found = {State(state): count for state, count in await session.execute(query)}
    return {state: found.get(state, 0) for state in State}


async def queue(db: Database, now: int) -> Gauges:
    """The queue and its attempts: name → labels → value."""
    async with db.read() as session:
        return {**await _waiting(session, now), **await _totals(session)}


async def _waiting(session: AsyncSession, now: int) -> Gauges:
    query = select(Deployment.target, func.count(), func.min(Deployment.created_at)).group_by(Deployment.target)
    rows = (await session.execute(query.where(Deployment.state == State.QUEUED))).all()
    oldest = min((created for _, _, created in rows), default=now)
    return {
        "scalemesh_queue_depth": {f'target="{target}"': count for target, count, _ in rows} or {"": 0},
        "scalemesh_queue_oldest_seconds": {"": (now - oldest) / 1000},
    }


async def _totals(session: AsyncSession) -> Gauges:
    found = await totals.read(session)
    steps = sorted(name.removeprefix("step_count:") for name in found if name.startswith("step_count:"))
    return {
        **{f"scalemesh_{name}_total": {"": found.get(name, 0)} for name in ("claims", "retries", "reaped")},
        "scalemesh_queue_wait_seconds_sum": {"": found.get("wait_ms", 0) / 1000},
        "scalemesh_queue_wait_seconds_count": {"": found.get("wait_count", 0)},
        "scalemesh_step_seconds_sum": {f'step="{step}"': found.get(f"step_ms:{step}", 0) / 1000 for step in steps},
        "scalemesh_step_seconds_count": {f'step="{step}"': found[f"step_count:{step}"] for step in steps},
    }
