"""Deployments: what people do with them, and the parts that dispatchers, agents and edges use."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from scalemesh.accounts import Actor, authorize
from scalemesh.artifacts.store import BlobStore
from scalemesh.core.build import Credentials, GitSource, Source, UploadSource
from scalemesh.core.clock import now_ms
from scalemesh.core.ids import check_cursor
from scalemesh.core.logs import LogLine
from scalemesh.core.page import Page
from scalemesh.core.state import TERMINAL, Event, State
from scalemesh.db import Database, Wakeup
from scalemesh.db.tables import Deployment, Project, PromotionKind
from scalemesh.deployments import journal, promotion, removal
from scalemesh.deployments.blobs import Blobs
from scalemesh.deployments.builds import Builds
from scalemesh.deployments.caches import BuildCaches
from scalemesh.deployments.collect import Collector
from scalemesh.deployments.contents import Contents
from scalemesh.deployments.creation import Creation
from scalemesh.deployments.hooks import Hooks
from scalemesh.deployments.logs import Logs
from scalemesh.deployments.lookup import Lookup, production_hosts
from scalemesh.deployments.policy import BuildPolicy
from scalemesh.deployments.queue import Queue
from scalemesh.deployments.routes import Routes
from scalemesh.deployments.state import CANCELED, apply, locked, request_cancel
from scalemesh.deployments.uploads import Uploads
from scalemesh.deployments.views import (
    AliasView,
    DeploymentView,
    NewDeployment,
)
from scalemesh.errors import Conflict, InvalidInput, NotFound
from scalemesh.logs.service import LogService
from scalemesh.projects import Projects, Sites, parse

MAX_PAGE = 100
_REMOVE_WAIT_S = 15.0


class Resolved(Protocol):
    """What a ref stands for at this moment."""

    @property
    def commit(self) -> str: ...
    @property
    def ref(self) -> str | None: ...


class Resolver(Protocol):
    """sources.Sources, as far as it is needed here. Raises InvalidInput that says what is wrong with the repository."""

    async def resolve(self, url: str, ref: str | None, credentials: Credentials) -> Resolved: ...


class Deployments:
    """Opened once per process. `local_sources` resolves the platform's own repositories (the demo's), nothing else."""

    def __init__(
        self,
        db: Database,
        store: BlobStore,
        logs: LogService,
        wakeup: Wakeup,
        projects: Projects,
        sources: Resolver,
        sites: Sites,
        policy: BuildPolicy | None = None,
        *,
        local_sources: Resolver | None = None,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        policy = policy or BuildPolicy()
        self._db = db
        self._logs = logs
        self._wakeup = wakeup
        self._projects = projects
        self._sources = sources
        self._local_sources = local_sources
        self._sites = sites
        self._policy = policy
        self._clock = clock
        self._creation = Creation(sites, policy, clock)
        blobs = Blobs(db, store, clock)
        self.routes = Routes(db, wakeup, clock)
        self._lookup = Lookup(self.routes, sites, policy, clock)
        self.contents = Contents(db, store, self._lookup)
        self.log = Logs(db, logs, projects, self._lookup, wakeup)
        self.queue = Queue(db, logs, wakeup, policy, clock)
        self.hooks = Hooks(db, logs, wakeup, projects, self._creation, clock)
        self.uploads = Uploads(projects, blobs, store)
        caches = BuildCaches(db, store, blobs, clock, policy.cache_bytes)
        self.collector = Collector(db, store, blobs, caches, clock, keep_ms=policy.promise_s * 1000)
        self.builds = Builds(
            db, store, logs, wakeup, projects, sites, policy, blobs, caches, self.uploads, self.routes, clock
        )

    async def create(self, actor: Actor, project_ref: str, new: NewDeployment) -> DeploymentView:
        """Queues a deployment. What it is made of is looked up first: nothing is left behind when that fails.

        Raises NotFound, or InvalidInput for a ref, repository or upload that will not do.
        """
        project = await self._projects.row(actor, project_ref, "deployment:write")
        if new.source is not None:
            tree = await self.uploads.keep_tree(project.team_id, new.source.files)
            row = self._new(actor, project, UploadSource(tree=tree), "upload", new.target, force=new.force)
            row.tree = tree
        else:
            source = await self._resolve(project, new.ref)
            trigger = "demo" if project.internal else "manual"
            row = self._new(actor, project, source, trigger, new.target, force=new.force)
        return await self._insert(actor, project, row)

    async def redeploy(self, actor: Actor, deployment_id: str) -> DeploymentView:
        """The same source again, with the project's settings and variables of now."""
        async with self._db.read() as session:
            old = await self._lookup.find(session, actor, deployment_id, "deployment:write")
            project = await session.get_one(Project, old.project_id)
        source = msgspec.json.decode(old.source, type=Source)
        row = self._new(actor, project, source, "redeploy", old.target, force=old.force)
        row.commit_message, row.commit_author, row.tree = old.commit_message, old.commit_author, old.tree
        return await self._insert(actor, project, row)

    async def get(self, actor: Actor, deployment_id: str) -> DeploymentView:
        async with self._db.read() as session:
            row = await self._lookup.find(session, actor, deployment_id, "deployment:read")
            return (await self._lookup.views(session, actor, [row]))[0]

    async def list(
        self, actor: Actor, project_ref: str | None = None, cursor: str | None = None, limit: int = 20
    ) -> Page[DeploymentView]:
        """Newest first; of one project, or of the whole team."""
        authorize(actor, "deployment:read")
        limit = min(max(limit, 1), MAX_PAGE)
        query = select(Deployment).where(Deployment.team_id == actor.team_id)
        async with self._db.read() as session:
            if project_ref is not None:
                project = await self._projects.find(session, actor, project_ref, "deployment:read")
                query = query.where(Deployment.project_id == project.id)
            if cursor is not None:
                query = query.where(Deployment.id < check_cursor("dpl", cursor))
            rows = (await session.scalars(query.order_by(Deployment.id.desc()).limit(limit + 1))).all()
            items = [*await self._lookup.views(session, actor, rows[:limit])]
        return Page(items, items[-1].id if len(rows) > limit else None)

    async def cancel(self, actor: Actor, deployment_id: str) -> DeploymentView:
        """A queued one ends at once, a running one as soon as it has been stopped (≤ 10 s). Twice is once.

        Raises Conflict for one that is over.
        """
        now = self._clock()
        async with self._db.write() as session:
            row = await self._lookup.find(session, actor, deployment_id, "deployment:write", lock=True)
            line = await self._cancel(session, row, now)
            view = (await self._lookup.views(session, actor, [row]))[0]
        await journal.publish(self._logs, line)
        self._wakeup.notify("queue", "attempts", f"deployment:{deployment_id}")
        return view

    async def promote(self, actor: Actor, deployment_id: str) -> DeploymentView:
        """Production becomes this deployment and follows new ones again; live on return (or after 1 s)."""
        async with self._db.write() as session:
            row = await self._lookup.find(session, actor, deployment_id, "deployment:write", lock=True)
            if row.state != State.READY:
                raise Conflict(
                    f"{row.id} is {row.state}: only a ready deployment can be promoted.",
                    code="not_ready",
                    hint="Deploy again, or promote another one.",
                )
            project = await promotion.lock_project(session, row.project_id)
            version = await promotion.move(session, row, project, PromotionKind.PROMOTE, actor.user_id, self._clock())
        return await self._moved(actor, deployment_id, version)

    async def rollback(self, actor: Actor, project_ref: str) -> DeploymentView:
        """Production goes back to the deployment before, and stays there until the next promote."""
        async with self._db.write() as session:
            found = await self._projects.find(session, actor, project_ref, "deployment:write")
            project = await promotion.lock_project(session, found.id)
            row = await promotion.previous(session, project)
            if row is None:
                raise Conflict(
                    f"{project.name} has no earlier production deployment.",
                    code="nothing_to_roll_back_to",
                    hint="Promote a deployment instead.",
                )
            version = await promotion.move(session, row, project, PromotionKind.ROLLBACK, actor.user_id, self._clock())
        return await self._moved(actor, row.id, version)

    async def can_roll_back(self, actor: Actor, project_ref: str) -> bool:
        """Whether something was production before what is it now."""
        async with self._db.read() as session:
            project = await self._projects.find(session, actor, project_ref, "deployment:read")
            return await promotion.previous(session, project) is not None

    async def aliases(self, actor: Actor, project_ref: str) -> Sequence[AliasView]:
        """The project's URLs that can move."""
        async with self._db.read() as session:
            project = await self._projects.find(session, actor, project_ref, "project:read")
            query = production_hosts([project.id])
            hosts = (await session.scalars(query)).all()
        return [
            AliasView(url=self._sites.url(row.host), host=row.host, kind=row.kind, deployment=row.target)
            for row in hosts
        ]

    async def delete(self, actor: Actor, deployment_id: str) -> None:
        """Removes one that is over: its URL stops answering, its log goes, its files go with the next collection.

        Raises Conflict while it runs, and for what is production.
        """
        async with self._db.write() as session:
            row = await self._lookup.find(session, actor, deployment_id, "deployment:write", lock=True)
            await removal.remove(session, row, self._sites.host(row.host_label), self._clock())
        self._wakeup.notify("routes")
        self._wakeup.notify(f"deployment:{deployment_id}")
        await self._logs.delete(deployment_id)

    async def delete_project(self, actor: Actor, project_ref: str) -> None:
        """Cancels what runs, waits until nothing of it is left (≤ 15 s), then removes project, hosts and logs.

        Raises Conflict when a build cannot be stopped in time; try again.
        """
        project = await self._projects.row(actor, project_ref, "project:delete")
        await self._cancel_all(project.id)
        for deployment_id in await self._remove(actor, project.id):
            await self._logs.delete(deployment_id)
        await self._logs.access.delete(project.id)

    async def _resolve(self, project: Project, ref: str | None) -> GitSource:
        if project.git_url is None:
            raise InvalidInput(
                f"{project.name} has no repository.",
                code="no_repository",
                hint="Set its git_url, or deploy a folder.",
                field="git_url",
            )
        wanted = parse.ref(ref) if ref else project.production_branch
        sources = self._local_sources if project.internal else self._sources
        if sources is None:
            raise InvalidInput("The platform's own repositories are not available here.", code="no_local_sources")
        found = await sources.resolve(project.git_url, wanted, self._projects.credentials(project))
        return GitSource(url=project.git_url, commit=found.commit, ref=found.ref)

    def _new(
        self, actor: Actor, project: Project, source: Source, trigger: str, target: str, *, force: bool
    ) -> Deployment:
        return self._creation.row(project, source, trigger=trigger, target=target, creator=actor.user_id, force=force)

    async def _insert(self, actor: Actor, project: Project, row: Deployment) -> DeploymentView:
        try:
            async with self._db.write() as session:
                await self._creation.admit(session, row)
                await self._creation.insert(session, project, row)
                reused = await self._creation.reuse(session, row)
                view = (await self._lookup.views(session, actor, [row]))[0]
        except IntegrityError as error:  # the project went while its repository was being asked
            raise NotFound(f"No project {project.name!r}.", code="project_not_found") from error
        self._wakeup.notify("queue")
        if reused is None:
            return view
        await journal.publish(self._logs, reused.line)
        return await self._moved(actor, row.id, reused.route_version)

    async def _cancel(self, session: AsyncSession, row: Deployment, now: int) -> LogLine | None:
        if row.state in TERMINAL and row.state != State.CANCELED:
            raise Conflict(f"{row.id} has ended already: it is {row.state}.", code="already_over")
        if row.state == State.QUEUED:
            await apply(
                session,
                row.id,
                Event.CANCELED,
                attempt=row.attempt,
                now=now,
                cause=CANCELED,
            )
            return journal.reserve(row, "Canceled.", now, "warn")
        request_cancel(row, now, CANCELED)
        return None

    async def _cancel_all(self, project_id: str) -> None:
        running = select(Deployment.id).where(Deployment.project_id == project_id, Deployment.state.not_in(TERMINAL))
        async with self._db.write() as session:
            for deployment_id in (await session.scalars(running.order_by(Deployment.id))).all():
                row = await locked(session, deployment_id)
                if row.state not in TERMINAL:
                    await self._cancel(session, row, self._clock())
        self._wakeup.notify("queue", "attempts")

    async def _remove(self, actor: Actor, project_id: str) -> Sequence[str]:
        deadline = asyncio.get_running_loop().time() + _REMOVE_WAIT_S
        while True:
            try:
                return await self._projects.delete(actor, project_id)
            except Conflict:
                if asyncio.get_running_loop().time() > deadline:
                    raise
            await self._wakeup.wait("attempts", 0.25)

    async def _moved(self, actor: Actor, deployment_id: str, version: int | None) -> DeploymentView:
        if version is not None:
            self._wakeup.notify("routes")
            await self.routes.wait_acknowledged(version)
        return await self.get(actor, deployment_id)
