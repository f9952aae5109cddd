"""Pushes that a repository's host tells us of: signed, taken once, each a deployment."""

from collections.abc import Callable, Sequence

import msgspec
from sqlalchemy import delete, func, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from scalemesh.core.build import BuildSettings, GitSource
from scalemesh.core.documents import decode
from scalemesh.core.logs import LogLine
from scalemesh.core.state import State
from scalemesh.db import Database, Wakeup
from scalemesh.db.tables import Deployment, HookDelivery, Project, Target
from scalemesh.deployments import journal
from scalemesh.deployments.creation import HOOK, Creation
from scalemesh.deployments.push import Push, parse
from scalemesh.deployments.state import Cause
from scalemesh.errors import InvalidInput, Unauthenticated
from scalemesh.logs.service import LogService
from scalemesh.projects import Projects
from scalemesh.projects.hooks import is_signed
from scalemesh.projects.parse import ref as parse_ref

KEPT_MS = 30 * 24 * 3600 * 1000  # deliveries are remembered so long; GitHub redelivers for three days
_MAX_DELIVERY = 64
_SAME_NAME = 20  # projects of one name, in as many teams, among which a signature may choose


class HookAnswer(msgspec.Struct, frozen=True):
    """`deployment`: the id of what the push made, also when it was told of before. Else `ignored` says why not."""

    deployment: str | None = None
    ignored: str | None = None


class Hooks:
    """Nobody signs in here: the signature over the raw body says which project it is for, and that it is genuine."""

    def __init__(
        self,
        db: Database,
        logs: LogService,
        wakeup: Wakeup,
        projects: Projects,
        creation: Creation,
        clock: Callable[[], int],
    ) -> None:
        self._db = db
        self._logs = logs
        self._wakeup = wakeup
        self._projects = projects
        self._creation = creation
        self._clock = clock

    async def receive(
        self, project_ref: str, body: bytes, *, signature: str, event: str, delivery: str, content_type: str
    ) -> HookAnswer:
        """Raises Unauthenticated alike for a wrong signature, a project without a secret and one that is not there."""
        project = await self._signed(project_ref, body, signature)
        if event != "push":
            return HookAnswer(ignored=event[:_MAX_DELIVERY] or "no_event")
        if not 0 < len(delivery) <= _MAX_DELIVERY:
            raise InvalidInput("X-GitHub-Delivery is missing or too long.", code="no_delivery")
        push = parse(body, content_type)
        if isinstance(push, str):
            return HookAnswer(ignored=push)
        if project.git_url is None:
            return HookAnswer(ignored="no_repository")
        return HookAnswer(deployment=await self._deploy(project, project.git_url, push, delivery))

    async def forget(self) -> None:
        """Deliveries older than anybody repeats them."""
        async with self._db.write() as session:
            old = HookDelivery.received_at < self._clock() - KEPT_MS
            await session.execute(delete(HookDelivery).where(old))

    async def _signed(self, ref: str, body: bytes, signature: str) -> Project:
        query = select(Project).where(or_(Project.id == ref, Project.name == ref), Project.hook_secret.is_not(None))
        async with self._db.read() as session:
            rows = (await session.scalars(query.limit(_SAME_NAME))).all()
        for row in rows:
            if is_signed(self._projects.hook_secret(row) or "", body, signature):
                return row
        raise Unauthenticated(
            "No project takes this signature.",
            code="invalid_signature",
            hint="Use the URL and the secret of the project's settings; the content type may be JSON or a form.",
        )

    async def _deploy(self, project: Project, git_url: str, push: Push, delivery: str) -> str:
        known = await self._delivered(project.id, delivery)
        if known:
            return known
        row = self._row(project, git_url, push)
        try:
            async with self._db.write() as session:
                session.add(self._delivery(project, delivery, row))
                await session.flush()
                lines = await self._insert(session, project, row, push)
        except IntegrityError:  # the same delivery at the same moment
            known = await self._delivered(project.id, delivery)
            if known is None:
                raise
            return known
        for line in lines:
            await journal.publish(self._logs, line)
            self._wakeup.notify(f"deployment:{line.deployment}")
        self._wakeup.notify("queue", "attempts", "routes")
        return row.id

    async def _insert(self, session: AsyncSession, project: Project, row: Deployment, push: Push) -> Sequence[LogLine]:
        if why := await self._skipped(session, project, row, push):
            await self._creation.insert(session, project, row)
            return [await self._creation.skip(session, row, Cause("skipped", why))]
        lines = await self._creation.supersede(session, row, running=project.cancel_running)
        await self._creation.admit(session, row)
        await self._creation.insert(session, project, row)
        reused = await self._creation.reuse(session, row)
        return [*lines, reused.line] if reused else lines

    async def _skipped(self, session: AsyncSession, project: Project, row: Deployment, push: Push) -> str | None:
        """Why it is not built; what an older push of the branch was to bring must be there, or on its way."""
        if push.is_skipped:
            return "The commit's message asks for no build."
        root = decode(BuildSettings, project.settings).root_directory
        if not project.skip_unaffected or not push.is_outside(root):
            return None
        older = select(Deployment.state).where(
            Deployment.project_id == project.id,
            Deployment.ref == row.ref,
            Deployment.target == row.target,
            func.coalesce(Deployment.error_code, "") != "skipped",
        )
        last = await session.scalar(older.order_by(Deployment.id.desc()).limit(1))
        return f"Nothing under {root} has changed." if last not in {None, State.ERROR, State.CANCELED} else None

    def _row(self, project: Project, git_url: str, push: Push) -> Deployment:
        is_production = push.branch == (project.production_branch or push.default_branch)
        source = GitSource(url=git_url, commit=push.commit, ref=parse_ref(push.branch))
        target = Target.PRODUCTION if is_production else Target.PREVIEW
        row = self._creation.row(project, source, trigger=HOOK, target=target)
        row.commit_message, row.commit_author, row.tree = push.message, push.author, push.tree
        return row

    def _delivery(self, project: Project, delivery: str, row: Deployment) -> HookDelivery:
        return HookDelivery(project_id=project.id, delivery=delivery, deployment_id=row.id, received_at=self._clock())

    async def _delivered(self, project_id: str, delivery: str) -> str | None:
        async with self._db.read() as session:
            found = await session.get(HookDelivery, (project_id, delivery))
        return found.deployment_id if found else None
