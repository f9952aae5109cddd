"""Deployments as people see them: found within their team, with hosts, place in the queue and shown state."""

from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from scalemesh.accounts import Actor, authorize
from scalemesh.core.state import State
from scalemesh.db.tables import Deployment, Host, HostKind, Project
from scalemesh.deployments import fairness
from scalemesh.deployments.policy import BuildPolicy
from scalemesh.deployments.routes import Routes
from scalemesh.deployments.views import DeploymentView, deployment_view, is_settling, shown_state
from scalemesh.errors import NotFound
from scalemesh.projects import Sites


class Lookup:
    """Functions over the caller's transaction."""

    def __init__(self, routes: Routes, sites: Sites, policy: BuildPolicy, clock: Callable[[], int]) -> None:
        self._routes = routes
        self._sites = sites
        self._policy = policy
        self._clock = clock

    async def find(
        self, session: AsyncSession, actor: Actor, deployment_id: str, action: str, *, lock: bool = False
    ) -> Deployment:
        """Raises NotFound, for another team's alike."""
        authorize(actor, action)
        query: Select[Deployment] = select(Deployment).where(
            Deployment.id == deployment_id, Deployment.team_id == actor.team_id
        )
        row = (await session.scalars(query.with_for_update(key_share=True) if lock else query)).first()
        if row is None:
            raise NotFound(
                f"No deployment {deployment_id!r}.", code="deployment_not_found", hint="`scalemesh ls` lists them."
            )
        return row

    async def shown(self, session: AsyncSession, row: Deployment) -> State:
        """Ready is shown when the edges know it."""
        settling = is_settling(row, self._clock())
        return shown_state(row, self._clock(), await self._routes.acknowledged(session) if settling else None)

    async def views(self, session: AsyncSession, actor: Actor, rows: Sequence[Deployment]) -> Sequence[DeploymentView]:
        ids = {row.project_id for row in rows}
        projects: Mapping[str, Project] = {
            row.id: row for row in await session.scalars(select(Project).where(Project.id.in_(ids)))
        }
        hosts = {row.project_id: row.host for row in await session.scalars(production_hosts(ids))}
        waiting = await self._places(session, rows)
        return [
            deployment_view(
                row,
                projects[row.project_id],
                actor.team_slug,
                await self.shown(session, row),
                self._sites,
                hosts.get(row.project_id),
                waiting.get(row.id),
            )
            for row in rows
        ]

    async def _places(self, session: AsyncSession, rows: Sequence[Deployment]) -> Mapping[str, fairness.Place]:
        queued = [row.id for row in rows if row.state == State.QUEUED]
        shares = fairness.Shares(self._policy.team_weights)
        return await fairness.places(session, queued, self._clock(), shares) if queued else {}


def production_hosts(project_ids: Sequence[str] | set[str]) -> Select[Host]:
    return select(Host).where(
        Host.project_id.in_(project_ids), Host.kind == HostKind.PRODUCTION, Host.released_at.is_(None)
    )
