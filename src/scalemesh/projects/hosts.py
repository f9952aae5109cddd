"""Hosts: how labels look, who owns which, and the version that every change of one gets."""

import secrets
from collections.abc import Iterator
from urllib.parse import urlsplit

from sqlalchemy import select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from scalemesh.core.ids import ALPHABET
from scalemesh.db.tables import Host, HostKind, Project
from scalemesh.errors import Conflict

MAX_LABEL = 63
_NAME_IN_LABEL = 50  # 50 + dash + 12 = MAX_LABEL
_BUMP = text(
    "INSERT INTO counters (name, value) VALUES ('route_version', 2) "
    "ON CONFLICT (name) DO UPDATE SET value = counters.value + 1 RETURNING value"
)


class Sites:
    """`http://*.localhost:8080`: from a label to its host and its URL."""

    def __init__(self, sites_url: str) -> None:
        parts = urlsplit(sites_url)
        self._scheme = parts.scheme
        self._domain = (parts.hostname or "").removeprefix("*.")
        self._port = f":{parts.port}" if parts.port else ""

    def host(self, label: str) -> str:
        """What stands in `hosts` and, without its port, in a request's Host header."""
        return f"{label}.{self._domain}"

    def url(self, host: str) -> str:
        return f"{self._scheme}://{host}{self._port}"


def deployment_label(project_name: str, host_id: str) -> str:
    return f"{project_name[:_NAME_IN_LABEL].rstrip('-')}-{host_id}"


async def bump(session: AsyncSession) -> int:
    """The next route version; its row stays locked until the commit, so commit order is version order.

    Call it last in a transaction, once, and write it into every host that the transaction changes.
    """
    return int((await session.execute(_BUMP)).scalar_one())


async def claim_production(session: AsyncSession, sites: Sites, project: Project, team_slug: str, now: int) -> str:
    """Claims the project's production host: its name, or the name with a suffix where that is somebody else's."""
    for label in _labels(project.name, team_slug):
        host = sites.host(label)
        if await _claim(session, host, project, HostKind.PRODUCTION, now):
            return host
    raise Conflict(f"No free host for {project.name!r}.", code="no_free_host", hint="Choose another name.")


async def claim_deployment(session: AsyncSession, host: str, project: Project, now: int) -> None:
    """Claims an immutable host; its random part makes a conflict all but impossible."""
    if not await _claim(session, host, project, HostKind.DEPLOYMENT, now):
        raise Conflict(f"{host} is taken.", code="host_taken", hint="Try again.")


async def production_host(session: AsyncSession, project_id: str) -> Host | None:
    query = select(Host).where(
        Host.project_id == project_id, Host.kind == HostKind.PRODUCTION, Host.released_at.is_(None)
    )
    return (await session.scalars(query.limit(1))).first()


async def _claim(session: AsyncSession, host: str, project: Project, kind: HostKind, now: int) -> bool:
    facts = {"team_id": project.team_id, "project_id": project.id, "kind": kind, "claimed_at": now}
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    row = insert(Host).values(host=host, target=None, version=0, released_at=None, **facts)
    taken = row.on_conflict_do_update(  # a tombstone may be taken up again, by the same team alone
        index_elements=[Host.host],
        set_={"project_id": project.id, "kind": kind, "claimed_at": now, "released_at": None},
        where=Host.released_at.is_not(None) & (Host.team_id == project.team_id),
    ).returning(Host.host)
    return (await session.execute(taken)).first() is not None


def _labels(name: str, team_slug: str) -> Iterator[str]:
    yield name
    yield f"{name[: MAX_LABEL - len(team_slug) - 1]}-{team_slug}" if len(team_slug) < MAX_LABEL - 1 else name
    for length in (4, 6, 8):
        suffix = "".join(secrets.choice(ALPHABET) for _ in range(length))
        yield f"{name[: MAX_LABEL - length - 1]}-{suffix}"
