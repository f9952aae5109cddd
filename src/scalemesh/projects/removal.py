"""Removing a project with everything that belongs to it, in one transaction."""

from sqlalchemy import delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from scalemesh.core.state import TERMINAL
from scalemesh.db.tables import Attempt, Deployment, EnvVar, Host, Project, Promotion
from scalemesh.errors import Conflict
from scalemesh.projects.hosts import bump


async def remove(session: AsyncSession, project: Project, now: int) -> list[str]:
    """The ids of the deployments that went with it. Raises Conflict while something of a build is left."""
    of_project = Deployment.project_id == project.id
    if await _unfinished(session, project.id):
        raise Conflict(
            f"{project.name} has builds that are not over.", code="builds_running", hint="Cancel them, then try again."
        )
    ids = list((await session.scalars(select(Deployment.id).where(of_project))).all())
    await session.execute(delete(Attempt).where(Attempt.deployment_id.in_(select(Deployment.id).where(of_project))))
    await session.execute(delete(Deployment).where(of_project))
    await session.execute(delete(EnvVar).where(EnvVar.project_id == project.id))
    await session.execute(delete(Promotion).where(Promotion.project_id == project.id))
    await session.delete(project)
    await session.flush()
    released = {"target": None, "released_at": now, "version": await bump(session)}
    await session.execute(
        update(Host).where(Host.project_id == project.id, Host.released_at.is_(None)).values(**released)
    )
    return ids


async def _unfinished(session: AsyncSession, project_id: str) -> int:
    active = select(func.count()).where(Deployment.project_id == project_id, Deployment.state.not_in(TERMINAL))
    uncleaned = (
        select(func.count())
        .select_from(Attempt)
        .join(Deployment, Deployment.id == Attempt.deployment_id)
        .where(Deployment.project_id == project_id, Attempt.cleaned_at.is_(None))
    )
    return (await session.scalar(active) or 0) + (await session.scalar(uncleaned) or 0)
