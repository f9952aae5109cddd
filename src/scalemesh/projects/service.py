"""Projects: create, find, change, remove; their variables, deploy key and push hook."""

from collections.abc import Callable, Sequence

from msgspec import UNSET, UnsetType
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from scalemesh.accounts import Actor, authorize
from scalemesh.core.build import BuildSettings, Credentials
from scalemesh.core.clock import now_ms
from scalemesh.core.documents import decode, encode
from scalemesh.core.ids import check_cursor, new_id, new_secret
from scalemesh.core.page import Page
from scalemesh.core.state import State
from scalemesh.db import Database, Wakeup
from scalemesh.db.tables import Deployment, EnvVar, Host, HostKind, Project
from scalemesh.errors import Conflict, NotFound
from scalemesh.projects import env, hooks, keys, parse, removal
from scalemesh.projects.crypto import Cipher
from scalemesh.projects.hosts import Sites, claim_production
from scalemesh.projects.views import (
    EnvView,
    LatestDeployment,
    NewProject,
    ProjectChanges,
    ProjectView,
    env_view,
    latest_view,
    project_view,
)

MAX_PAGE = 100
_SETTLING_MS = 1000  # how long a ready deployment may wait for its edges: deployments.views


class Projects:
    """`check_url` normalises a Git URL or raises InvalidInput: sources owns what is allowed."""

    def __init__(
        self,
        db: Database,
        cipher: Cipher,
        sites: Sites,
        *,
        check_url: Callable[[str], str],
        wakeup: Wakeup,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        self._db = db
        self._cipher = cipher
        self._sites = sites
        self._check_url = check_url
        self._wakeup = wakeup
        self._clock = clock

    async def create(self, actor: Actor, new: NewProject) -> ProjectView:
        """Raises InvalidInput, or Conflict when the team has a project of this name. Nothing is fetched yet."""
        authorize(actor, "project:write")
        git_url = self._check_url(new.git_url) if new.git_url else None
        return await self._insert(actor, new, git_url, internal=False)

    async def create_internal(self, actor: Actor, name: str, git_url: str) -> ProjectView:
        """A project of the platform's own (the demo): its repository may be a local bare one, `file://…`."""
        if actor.via != "system":
            raise NotFound("No such thing.")
        return await self._insert(actor, NewProject(name=name), git_url, internal=True)

    async def get(self, actor: Actor, ref: str) -> ProjectView:
        """By id or by name."""
        async with self._db.read() as session:
            row = await self.find(session, actor, ref, "project:read")
            return (await self._views(session, actor, [row]))[0]

    async def list(self, actor: Actor, cursor: str | None = None, limit: int = 20) -> Page[ProjectView]:
        """Newest first."""
        authorize(actor, "project:read")
        limit = min(max(limit, 1), MAX_PAGE)
        query = select(Project).where(Project.team_id == actor.team_id).order_by(Project.id.desc()).limit(limit + 1)
        if cursor is not None:
            query = query.where(Project.id < check_cursor("prj", cursor))
        async with self._db.read() as session:
            rows = (await session.scalars(query)).all()
            items = [*await self._views(session, actor, rows[:limit])]
        return Page(items, items[-1].id if len(rows) > limit else None)

    async def update(self, actor: Actor, ref: str, changes: ProjectChanges) -> ProjectView:
        """Counts from the next deployment on."""
        async with self._db.write() as session:
            row = await self.find(session, actor, ref, "project:write", lock=True)
            if not isinstance(changes.git_url, UnsetType) and not row.internal:
                row.git_url = self._check_url(changes.git_url) if changes.git_url else None
            if not isinstance(changes.production_branch, UnsetType):
                row.production_branch = _branch(changes.production_branch)
            if changes.concurrency is not UNSET:
                row.concurrency = parse.concurrency(changes.concurrency)
            for name in ("cancel_running", "skip_unaffected"):
                if (value := getattr(changes, name)) is not UNSET:
                    setattr(row, name, value)
            if changes.known_hosts is not UNSET:
                row.known_hosts = parse.known_hosts(changes.known_hosts)
            row.settings = encode(parse.settings(decode(BuildSettings, row.settings), changes.settings)).decode()
            row.updated_at = self._clock()
            return (await self._views(session, actor, [row]))[0]

    async def delete(self, actor: Actor, ref: str) -> Sequence[str]:
        """Removes it with all that it has, and answers its deployments' ids. Its hosts leave tombstones.

        Conflict while one of its builds runs or has not been cleaned up: Deployments.delete_project sees to that.
        """
        async with self._db.write() as session:
            row = await self.find(session, actor, ref, "project:delete", lock=True)
            ids = await removal.remove(session, row, self._clock())
        self._wakeup.notify("routes")
        return ids

    async def list_env(self, actor: Actor, ref: str) -> Sequence[EnvView]:
        """Secret values are not shown."""
        async with self._db.read() as session:
            project = await self.find(session, actor, ref, "env:read")
            rows = await env.of(session, project.id)
        return [self._env_view(row) for row in rows]

    async def set_env(
        self,
        actor: Actor,
        ref: str,
        key: str,
        value: str,
        *,
        secret: bool = False,
        target: str = "all",
        branch: str | None = None,
    ) -> EnvView:
        """Sets or replaces the variable of this key, target and branch."""
        name, target = parse.env_key(key), parse.env_target(target)
        of_branch = parse.ref(branch, "branch") if branch else ""
        async with self._db.write() as session:
            project = await self.find(session, actor, ref, "env:write")
            sealed = self._cipher.encrypt(parse.env_value(value), env.context(project.id, name, target, of_branch))
            row = await env.put(session, project, name, target, of_branch, sealed, secret=secret, now=self._clock())
        return self._env_view(row)

    async def remove_env(
        self, actor: Actor, ref: str, key: str, target: str | None = None, branch: str | None = None
    ) -> None:
        """Removes the variables of this key, of one target or branch where given. Raises NotFound."""
        async with self._db.write() as session:
            project = await self.find(session, actor, ref, "env:write")
            if not await env.remove(session, project.id, key, target, branch):
                raise NotFound(f"{project.name} has no variable {key!r} there.", code="env_not_found")

    async def env_for(
        self, session: AsyncSession, project_id: str, target: str, branch: str | None
    ) -> tuple[dict[str, str], Sequence[str]]:
        """What a build gets: values by name, and the names that are secret."""
        return env.effective(await env.of(session, project_id), self._cipher, target, branch)

    async def deploy_key(self, actor: Actor, ref: str) -> str:
        """The public half of the project's key; made the first time."""
        async with self._db.write() as session:
            row = await self.find(session, actor, ref, "project:write", lock=True)
            if row.deploy_key_public is None:
                private, row.deploy_key_public = keys.new_pair(f"scalemesh-{row.name}")
                row.deploy_key = self._cipher.encrypt(private, keys.context(row.id))
            return row.deploy_key_public

    async def hook(self, actor: Actor, ref: str) -> str | None:
        """The secret that signs the project's push hook, for those who may change the project; None: there is none."""
        return self.hook_secret(await self.row(actor, ref, "project:write"))

    async def make_hook(self, actor: Actor, ref: str) -> str:
        """The secret, made the first time."""
        async with self._db.write() as session:
            row = await self.find(session, actor, ref, "project:write", lock=True)
            if row.hook_secret is None:
                row.hook_secret = self._cipher.encrypt(new_secret("smh"), hooks.context(row.id))
            return self.hook_secret(row) or ""

    async def remove_hook(self, actor: Actor, ref: str) -> None:
        """Pushes are refused from now on."""
        async with self._db.write() as session:
            (await self.find(session, actor, ref, "project:write", lock=True)).hook_secret = None

    def hook_secret(self, project: Project) -> str | None:
        sealed = project.hook_secret
        return None if sealed is None else self._cipher.decrypt(sealed, hooks.context(project.id))

    def credentials(self, project: Project) -> Credentials:
        """For the project's own repository host alone."""
        sealed = project.deploy_key
        return Credentials(
            deploy_key=None if sealed is None else self._cipher.decrypt(sealed, keys.context(project.id)),
            known_hosts=project.known_hosts,
        )

    async def find(self, session: AsyncSession, actor: Actor, ref: str, action: str, *, lock: bool = False) -> Project:
        """The actor's team's project by id or name. Raises NotFound or Forbidden."""
        authorize(actor, action)
        column = Project.id if ref.startswith("prj_") else Project.name
        query = select(Project).where(Project.team_id == actor.team_id, column == ref)
        if lock:
            query = query.with_for_update(key_share=True)
        row = (await session.scalars(query)).first()
        if row is None:
            raise NotFound(f"No project {ref!r}.", code="project_not_found", hint="`scalemesh projects ls` lists them.")
        return row

    async def row(self, actor: Actor, ref: str, action: str = "project:read") -> Project:
        async with self._db.read() as session:
            return await self.find(session, actor, ref, action)

    async def _insert(self, actor: Actor, new: NewProject, git_url: str | None, *, internal: bool) -> ProjectView:
        now = self._clock()
        settings = parse.settings(BuildSettings(), {name: getattr(new.settings, name) for name in _SETTINGS})
        row = Project(
            id=new_id("prj"),
            team_id=actor.team_id,
            name=parse.project_name(new.name),
            git_url=git_url,
            production_branch=_branch(new.production_branch),
            settings=encode(settings).decode(),
            concurrency=parse.concurrency(new.queue.concurrency),
            cancel_running=new.queue.cancel_running,
            skip_unaffected=new.queue.skip_unaffected,
            internal=internal,
            known_hosts=parse.known_hosts(new.known_hosts),
            created_at=now,
            updated_at=now,
        )
        try:
            async with self._db.write() as session:
                session.add(row)
                await session.flush()
                await claim_production(session, self._sites, row, actor.team_slug, now)
                return (await self._views(session, actor, [row]))[0]
        except IntegrityError as error:
            raise Conflict(
                f"The team has a project {new.name!r} already.",
                code="name_taken",
                hint="Choose another name.",
                field="name",
            ) from error

    async def _views(self, session: AsyncSession, actor: Actor, rows: Sequence[Project]) -> Sequence[ProjectView]:
        ids = [row.id for row in rows]
        hosts = await session.execute(
            select(Host.project_id, Host.host).where(
                Host.project_id.in_(ids), Host.kind == HostKind.PRODUCTION, Host.released_at.is_(None)
            )
        )
        urls = {project: self._sites.url(host) for project, host in hosts}
        newest = select(func.max(Deployment.id)).where(Deployment.project_id.in_(ids)).group_by(Deployment.project_id)
        found = await session.scalars(select(Deployment).where(Deployment.id.in_(newest)))
        latest = {row.project_id: self._latest(row) for row in found}
        return [project_view(row, actor.team_slug, urls.get(row.id, ""), latest.get(row.id)) for row in rows]

    def _latest(self, row: Deployment) -> LatestDeployment:
        settling = row.state == State.READY and (row.ready_at or 0) + _SETTLING_MS > self._clock()
        return latest_view(row, State.BUILDING if settling else row.state)

    def _env_view(self, row: EnvVar) -> EnvView:
        return env_view(row, None if row.secret else env.value(row, self._cipher))


_SETTINGS = BuildSettings.__struct_fields__


def _branch(value: str | None) -> str | None:
    return parse.ref(value, "production_branch") if value else None
