"""Removing one deployment with what belongs to it, in the caller's transaction."""

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from scalemesh.core.state import TERMINAL
from scalemesh.db.tables import Attempt, Deployment, Host
from scalemesh.deployments import promotion
from scalemesh.errors import Conflict
from scalemesh.projects.hosts import bump


async def remove(session: AsyncSession, row: Deployment, host: str, now: int) -> None:
    """`row` is locked; its host leaves a tombstone. Raises Conflict."""
    project = await promotion.lock_project(session, row.project_id)
    if project.production_deployment_id == row.id:
        raise Conflict(f"{row.id} is in production.", code="is_production", hint="Promote another one first.")
    if row.state not in TERMINAL or await _uncleaned(session, row.id):
        raise Conflict(f"{row.id} is not over.", code="not_over", hint="Cancel it, then try again.")
    await session.execute(delete(Attempt).where(Attempt.deployment_id == row.id))
    await session.delete(row)
    await session.flush()
    released = {"target": None, "released_at": now, "version": await bump(session)}
    await session.execute(update(Host).where(Host.host == host).values(**released))


async def _uncleaned(session: AsyncSession, deployment_id: str) -> bool:
    query = select(func.count()).where(Attempt.deployment_id == deployment_id, Attempt.cleaned_at.is_(None))
    return bool(await session.scalar(query))
