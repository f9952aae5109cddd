"""Identical tree: what has been built before is served again at once, without a build. Functions over a session.

A build's output is taken to depend on its tree and on its `inputs`. What a build may know about its own deployment
(id, URL, commit, branch) is left out: two deployments would never be the same.
"""

import hashlib
from dataclasses import dataclass

import msgspec
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from scalemesh import __version__
from scalemesh.core.build import BuildSettings
from scalemesh.core.documents import decode, encode
from scalemesh.core.logs import LogLine
from scalemesh.core.state import Event, State
from scalemesh.db.tables import Deployment
from scalemesh.deployments import journal, promotion
from scalemesh.deployments.spec import AGAIN, branch_of
from scalemesh.deployments.state import apply
from scalemesh.frameworks.node import DEFAULT
from scalemesh.projects import Sites, env

BUILDER = 1  # to be raised when the same tree is built differently from now on


@dataclass(frozen=True)
class Reused:
    """To be published and acknowledged after the commit."""

    line: LogLine
    route_version: int


async def inputs(session: AsyncSession, row: Deployment) -> str:
    """Everything but the tree: settings, the project's variables, target, default toolchain, builder."""
    settings = msgspec.structs.replace(decode(BuildSettings, row.settings), reuse=True, ignore_command=None)
    variables = env.fingerprint(await env.of(session, row.project_id), row.target, branch_of(row))
    facts = [BUILDER, __version__, DEFAULT, row.target, encode(settings).decode(), variables]
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()


async def reuse(session: AsyncSession, row: Deployment, sites: Sites, now: int) -> Reused | None:
    """A deployment that has just come into the queue is ready where the same has been built; else it waits."""
    if row.force or row.trigger == AGAIN or not decode(BuildSettings, row.settings).reuse:
        return None
    found = await _same(session, row)
    if found is None:
        return None
    row = await apply(session, row.id, Event.REUSED, attempt=row.attempt, now=now)
    row.started_at, row.reused_from = now, found.reused_from or found.id
    row.commit_message, row.commit_author = _words(row, found)
    for column in ("plan", "manifest_sha256", "manifest_size", "output_files", "output_bytes"):
        setattr(row, column, getattr(found, column))
    line = journal.reserve(row, f"Same files, settings and variables as {row.reused_from}: its site, no build", now)
    project = await promotion.lock_project(session, row.project_id)
    return Reused(line, await promotion.publish(session, row, project, sites.host(row.host_label), now))


async def _same(session: AsyncSession, row: Deployment) -> Deployment | None:
    row.tree = row.tree or await _tree(session, row)
    if row.tree is None:
        return None
    row.inputs = await inputs(session, row)
    query = select(Deployment).where(
        Deployment.project_id == row.project_id,
        Deployment.tree == row.tree,
        Deployment.inputs == row.inputs,
        Deployment.state == State.READY,
        Deployment.manifest_sha256.is_not(None),
    )
    newest = query.order_by(Deployment.id.desc()).limit(1)
    # Held, so that it is not deleted, nor its files collected, under our hands; one that somebody holds is no use.
    return (await session.scalars(newest.with_for_update(read=True, skip_locked=True))).first()


async def _tree(session: AsyncSession, row: Deployment) -> str | None:
    """Known where the same commit has been cloned before."""
    same = (Deployment.project_id == row.project_id, Deployment.commit_sha == row.commit_sha)
    return await session.scalar(select(Deployment.tree).where(*same, Deployment.tree.is_not(None)).limit(1))


def _words(row: Deployment, found: Deployment) -> tuple[str, str]:
    """The commit's message and author, which nobody has looked up, are the other's where it is the same commit."""
    if row.commit_message or row.commit_sha != found.commit_sha:
        return row.commit_message, row.commit_author
    return found.commit_message, found.commit_author
