"""The route feed: what edges serve, by version; and what they have acknowledged."""

import asyncio
from collections.abc import Callable

from sqlalchemy import Select, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from scalemesh.core.build import BlobRef
from scalemesh.core.ids import new_id, new_secret, secret_hash
from scalemesh.core.routes import Route, RouteSnapshot
from scalemesh.db import Database, Wakeup
from scalemesh.db.tables import Counter, Deployment, Edge, Host, HostKind
from scalemesh.errors import Unauthenticated

CONNECTED_MS = 30_000  # a long poll lasts 20 s: an edge that has said nothing for this long is left out
_SLOW_POLL_S = 1.0


class Routes:
    """Versions are committed in order, so an edge that has V has everything up to V."""

    def __init__(self, db: Database, wakeup: Wakeup, clock: Callable[[], int]) -> None:
        self._db = db
        self._wakeup = wakeup
        self._clock = clock

    async def ensure_edge(self, name: str, token: str = "") -> str:
        """The edge of this name with this token (or a new one), made or changed; answers the token."""
        secret = token or new_secret("sme")
        try:
            await self._put_edge(name, secret)
        except IntegrityError:  # another API made it at this moment
            await self._put_edge(name, secret)
        return secret

    async def _put_edge(self, name: str, secret: str) -> None:
        async with self._db.write() as session:
            row = await session.scalar(select(Edge).where(Edge.name == name))
            if row is None:
                row = Edge(id=new_id("edg"), name=name, created_at=self._clock())
                session.add(row)
            row.token_hash, row.revoked_at = secret_hash(secret), None

    async def authenticate(self, token: str) -> str:
        """The edge's id. Raises Unauthenticated."""
        query = select(Edge.id).where(Edge.token_hash == secret_hash(token), Edge.revoked_at.is_(None))
        async with self._db.read() as session:
            edge = await session.scalar(query)
        if edge is None:
            raise Unauthenticated("That edge token is not valid.", code="invalid_token")
        return edge

    async def changes(self, after: int, limit: int = 1000) -> RouteSnapshot:
        """Every change after a version, at most about `limit` hosts (a version is never split).

        A version from before time (0) or from another database gets the whole table, `full`.
        """
        async with self._db.read() as session:
            current = await _version(session)
            full = not 0 < after <= current
            query = _hosts().order_by(Host.version, Host.host)
            if full:
                query = query.where(Host.target.is_not(None))
            else:
                query = query.where(Host.version > after, Host.version <= await _cut(session, after, limit))
            routes = [_route(*row) for row in await session.execute(query)]
        # Read after the counter, a route may be newer than it; commits come in order, so nothing between is missing.
        newest = max((route.version for route in routes), default=0)
        whole = full or len(routes) < limit
        return RouteSnapshot(version=max(newest, current) if whole else newest, routes=routes, full=full)

    async def poll(self, edge_id: str, after: int, wait_s: float = 20) -> RouteSnapshot:
        """Acknowledges `after`, then answers the changes after it, as soon as there are any or `wait_s` has passed."""
        await self.acknowledge(edge_id, after)
        deadline = asyncio.get_running_loop().time() + wait_s
        with self._wakeup.listen("routes") as listener:
            while True:
                left_s = deadline - asyncio.get_running_loop().time()
                if await self.version() != after or left_s <= 0:
                    return await self.changes(after)
                await listener.wait(min(left_s, _SLOW_POLL_S))

    async def version(self) -> int:
        async with self._db.read() as session:
            return await _version(session)

    async def acknowledge(self, edge_id: str, version: int) -> None:
        """This edge serves everything up to `version`, and is there."""
        facts = {"acked_version": version, "last_seen_at": self._clock()}
        async with self._db.write() as session:
            await session.execute(update(Edge).where(Edge.id == edge_id).values(**facts))
        self._wakeup.notify("edges")

    async def acknowledged(self, session: AsyncSession) -> int | None:
        """The version that every connected edge has; None without a connected edge."""
        seen = Edge.last_seen_at > self._clock() - CONNECTED_MS
        return await session.scalar(select(func.min(Edge.acked_version)).where(seen, Edge.revoked_at.is_(None)))

    async def wait_acknowledged(self, version: int, timeout_s: float = 1.0) -> bool:
        """Until every connected edge has `version`; False after `timeout_s`: a silent edge is left out."""
        deadline = asyncio.get_running_loop().time() + timeout_s
        with self._wakeup.listen("edges") as listener:
            while True:
                async with self._db.read() as session:
                    have = await self.acknowledged(session)
                if have is None or have >= version:
                    return True
                left_s = deadline - asyncio.get_running_loop().time()
                if left_s <= 0:
                    return False
                await listener.wait(min(left_s, 0.25))


def _hosts() -> Select[str, int, str, str, HostKind, str | None, str | None, int | None]:
    """Columns, not entities: a new edge asks for all of them, and there may be 100,000."""
    deployment = Deployment.id, Deployment.manifest_sha256, Deployment.manifest_size
    query = select(Host.host, Host.version, Host.team_id, Host.project_id, Host.kind, *deployment)
    return query.outerjoin(Deployment, Deployment.id == Host.target)


async def _version(session: AsyncSession) -> int:
    """The empty table is version 1, so that an edge can tell it from never having asked."""
    return await session.scalar(select(Counter.value).where(Counter.name == "route_version")) or 1


async def _cut(session: AsyncSession, after: int, limit: int) -> int:
    """The version of the `limit`th change, so that a page ends with a whole version."""
    query = select(Host.version).where(Host.version > after).order_by(Host.version).limit(1).offset(limit - 1)
    return await session.scalar(query) or 2**62


def _route(
    host: str,
    version: int,
    team: str,
    project: str,
    kind: HostKind,
    deployment: str | None,
    sha256: str | None,
    size: int | None,
) -> Route:
    if deployment is None or sha256 is None:
        return Route(host=host, version=version)
    return Route(
        host=host,
        version=version,
        team=team,
        project=project,
        deployment=deployment,
        manifest=BlobRef(sha256=sha256, size=size or 0),
        production=kind == HostKind.PRODUCTION,
    )
