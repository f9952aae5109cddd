"""Moving production: one pointer, one host, one route version, one line of history. Functions over a session.

A caller holds the deployment's row first, then the project's: the order that Database asks for.
"""

from collections.abc import Sequence

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncSession

from scalemesh.core.ids import new_id
from scalemesh.core.state import State
from scalemesh.db.tables import Deployment, Host, Project, Promotion, PromotionKind, Target
from scalemesh.errors import Conflict
from scalemesh.projects.hosts import bump, production_host


async def lock_project(session: AsyncSession, project_id: str) -> Project:
    query = select(Project).where(Project.id == project_id).with_for_update(key_share=True)
    return (await session.scalars(query.execution_options(populate_existing=True))).one()


async def publish(session: AsyncSession, row: Deployment, project: Project, host: str, now: int) -> int:
    """A deployment has become ready: its own host serves it, and production too where it is the newer one."""
    moves = row.target == Target.PRODUCTION and not project.pinned and await _is_newer(session, row, project)
    production = await production_host(session, project.id) if moves else None
    hosts = [host]
    if production is not None:
        _record(session, project, row, PromotionKind.AUTOMATIC, row.creator_id, now)
        hosts.append(production.host)
    version = await _point(session, hosts, row.id)
    row.route_version = version
    return version


async def move(
    session: AsyncSession, row: Deployment, project: Project, kind: PromotionKind, actor_id: str | None, now: int
) -> int | None:
    """Production becomes `row`: by promote (unpins) or rollback (pins). None when it is that already."""
    project.pinned = kind is PromotionKind.ROLLBACK
    if project.production_deployment_id == row.id:
        return None
    production = await production_host(session, project.id)
    if production is None:
        raise Conflict(f"{project.name} has no production host.", code="no_production_host")
    _record(session, project, row, kind, actor_id, now)
    return await _point(session, [production.host], row.id)


async def previous(session: AsyncSession, project: Project) -> Deployment | None:
    """What was production before what is production now; several rollbacks go further and further back."""
    query = select(Promotion).where(Promotion.project_id == project.id).order_by(Promotion.id)
    for deployment_id in _history((await session.scalars(query)).all())[-2::-1]:
        row = await session.get(Deployment, deployment_id)
        if row is not None and row.state == State.READY and row.id != project.production_deployment_id:
            return row
    return None


def _history(promotions: Sequence[Promotion]) -> list[str]:
    """The stack of production deployments: a rollback takes off what it went back over."""
    stack: list[str] = []
    for promotion in promotions:
        if promotion.kind == PromotionKind.ROLLBACK:
            while stack and stack[-1] != promotion.to_deployment_id:
                stack.pop()
        if not stack or stack[-1] != promotion.to_deployment_id:
            stack.append(promotion.to_deployment_id)
    return stack


async def _is_newer(session: AsyncSession, row: Deployment, project: Project) -> bool:
    if project.production_deployment_id is None:
        return True
    current = await session.get(Deployment, project.production_deployment_id)
    return current is None or (row.created_at, row.id) > (current.created_at, current.id)


def _record(
    session: AsyncSession, project: Project, row: Deployment, kind: PromotionKind, actor_id: str | None, now: int
) -> None:
    session.add(
        Promotion(
            id=new_id("prm"),
            team_id=project.team_id,
            project_id=project.id,
            kind=kind,
            actor_id=actor_id,
            from_deployment_id=project.production_deployment_id,
            to_deployment_id=row.id,
            at=now,
        )
    )
    project.production_deployment_id = row.id


async def _point(session: AsyncSession, hosts: list[str], deployment_id: str) -> int:
    await session.flush()
    version = await bump(session)
    await session.execute(update(Host).where(Host.host.in_(hosts)).values(target=deployment_id, version=version))
    return version
