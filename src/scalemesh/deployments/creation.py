"""How a deployment comes into the queue: admitted, inserted with its host, older pushes of its branch superseded."""

from collections.abc import Callable

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from scalemesh.core.build import GitSource, Source
from scalemesh.core.documents import encode
from scalemesh.core.ids import new_host_id, new_id
from scalemesh.core.logs import LogLine
from scalemesh.core.state import TERMINAL, Event, State
from scalemesh.db.tables import Deployment, Project, Target
from scalemesh.deployments import admission, journal
from scalemesh.deployments.policy import BuildPolicy
from scalemesh.deployments.reuse import Reused, reuse
from scalemesh.deployments.state import Cause, apply, locked, request_cancel
from scalemesh.projects import Sites
from scalemesh.projects.hosts import claim_deployment, deployment_label

HOOK = "hook"
_FOLLOWS_BRANCH = (HOOK, "manual")  # made for a branch's head of that moment; a redeploy is of one commit


class Creation:
    """Functions over the caller's transaction; whoever commits publishes the lines and notifies `queue`."""

    def __init__(self, sites: Sites, policy: BuildPolicy, clock: Callable[[], int]) -> None:
        self._sites = sites
        self._policy = policy
        self._clock = clock

    def row(
        self,
        project: Project,
        source: Source,
        *,
        trigger: str,
        target: str,
        creator: str | None = None,
        force: bool = False,
    ) -> Deployment:
        git = source if isinstance(source, GitSource) else None
        return Deployment(
            id=new_id("dpl"),
            team_id=project.team_id,
            project_id=project.id,
            host_label=deployment_label(project.name, new_host_id()),
            state=State.QUEUED,
            target=Target(target),
            trigger=trigger,
            creator_id=creator,
            source=encode(source).decode(),
            settings=project.settings,
            ref=git.ref if git else None,
            commit_sha=git.commit if git else None,
            force=force,
            created_at=self._clock(),
        )

    async def admit(self, session: AsyncSession, row: Deployment) -> None:
        """Raises TooManyRequests or Unavailable where the team, or the disk, has enough for now."""
        await admission.admit(session, row.team_id, self._policy, row.created_at)

    async def insert(self, session: AsyncSession, project: Project, row: Deployment) -> None:
        """Raises IntegrityError where the project has gone meanwhile."""
        session.add(row)
        await session.flush()
        await claim_deployment(session, self._sites.host(row.host_label), project, row.created_at)

    async def reuse(self, session: AsyncSession, row: Deployment) -> Reused | None:
        """Makes it ready at once where the same has been built before; whoever commits notifies `routes`."""
        return await reuse(session, row, self._sites, self._clock())

    async def skip(self, session: AsyncSession, row: Deployment, cause: Cause) -> LogLine:
        """Ends a queued deployment before it has begun."""
        now = self._clock()
        await apply(session, row.id, Event.CANCELED, attempt=row.attempt, now=now, cause=cause)
        return journal.reserve(row, cause.message, now, "warn")

    async def supersede(self, session: AsyncSession, newer: Deployment, *, running: bool = False) -> list[LogLine]:
        """Cancels what waits for the same branch and target and is older; previews that run too, if `running`."""
        older = select(Deployment.id).where(
            Deployment.project_id == newer.project_id,
            Deployment.state.not_in(TERMINAL),
            Deployment.ref == newer.ref,
            Deployment.target == newer.target,
            Deployment.trigger.in_(_FOLLOWS_BRANCH),
            Deployment.id != newer.id,
        )
        cause = Cause("superseded", f"A newer push to {newer.ref} takes its place.")
        lines = []
        for deployment_id in (await session.scalars(older.order_by(Deployment.id))).all():
            row = await locked(session, deployment_id)
            if row.state == State.QUEUED:  # still: a dispatcher may have been faster
                lines.append(await self.skip(session, row, cause))
            elif running and row.target == Target.PREVIEW and row.state not in TERMINAL:
                request_cancel(row, self._clock(), cause)
        return lines
