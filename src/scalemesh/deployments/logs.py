"""Deployments' logs, as people read them: a part, live, or what a search finds."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from sqlalchemy import select

from scalemesh.accounts import Actor
from scalemesh.core.logs import LogLine
from scalemesh.core.state import TERMINAL
from scalemesh.db import Database, Wakeup
from scalemesh.db.tables import Deployment
from scalemesh.deployments.lookup import Lookup
from scalemesh.logs.hits import Found
from scalemesh.logs.search import Search
from scalemesh.logs.service import LogService
from scalemesh.projects import Projects

SLOW_LOOK_S = 5.0  # a hint may be missed


class Logs:
    """Of the actor's team. Every method raises NotFound."""

    def __init__(self, db: Database, logs: LogService, projects: Projects, lookup: Lookup, wakeup: Wakeup) -> None:
        self._db = db
        self._logs = logs
        self._wakeup = wakeup
        self._projects = projects
        self._lookup = lookup

    async def read(self, actor: Actor, deployment_id: str, after: int = -1, limit: int = 1000) -> Sequence[LogLine]:
        """At most `limit` lines with `seq > after`."""
        async with self._db.read() as session:
            row = await self._lookup.find(session, actor, deployment_id, "deployment:read")
        return await self._logs.read(row.id, after, min(max(limit, 1), 10_000))

    async def follow(self, actor: Actor, deployment_id: str, after: int = -1) -> AsyncGenerator[LogLine, None]:
        """Every line after `after`, live, until the deployment is over; see LogService.tail on leaving it early."""
        async with self._db.read() as session:
            row = await self._lookup.find(session, actor, deployment_id, "deployment:read")
        return self._follow(row.id, after)

    async def _follow(self, deployment_id: str, after: int) -> AsyncGenerator[LogLine, None]:
        """Looks whether it is over when that was hinted: a log that is quiet for a moment costs no query."""
        clock = asyncio.get_running_loop().time
        with self._wakeup.listen(f"deployment:{deployment_id}") as hint:
            last: int | None = None
            look_at = 0.0

            async def end() -> int | None:
                nonlocal last, look_at
                if last is None and (hint.heard.is_set() or clock() >= look_at):
                    hint.heard.clear()
                    look_at = clock() + SLOW_LOOK_S
                    last = await self.end(deployment_id)
                return last

            async with aclosing(self._logs.tail(deployment_id, after, end=end)) as lines:
                async for line in lines:
                    yield line

    async def search(
        self,
        actor: Actor,
        deployment_id: str,
        search: Search,
        cursor: str | None = None,
        limit: int = 50,
        context: int = 0,
    ) -> Found:
        """A page of hits in one deployment's log, by seq. Raises InvalidInput."""
        async with self._db.read() as session:
            row = await self._lookup.find(session, actor, deployment_id, "deployment:read")
        return await self._logs.search([row.id], search, cursor, limit=limit, context=context)

    async def search_project(
        self,
        actor: Actor,
        project_ref: str,
        search: Search,
        cursor: str | None = None,
        limit: int = 50,
        context: int = 0,
    ) -> Found:
        """A page of hits in the logs of a project's deployments: newest deployment first, each by seq."""
        async with self._db.read() as session:
            project = await self._projects.find(session, actor, project_ref, "deployment:read")
            ids = select(Deployment.id).where(Deployment.project_id == project.id).order_by(Deployment.id.desc())
            deployments = (await session.scalars(ids)).all()
        return await self._logs.search(deployments, search, cursor, limit=limit, context=context)

    async def end(self, deployment_id: str) -> int | None:
        """None while more lines may come; else the number after the last one."""
        async with self._db.read() as session:
            row = await session.get(Deployment, deployment_id)
            if row is None:
                return 0
            state = await self._lookup.shown(session, row)
        return row.log_next if state in TERMINAL else None
