"""Environment variables: encrypted one by one; the more particular one wins. Functions over a session."""

import hashlib
from collections.abc import Sequence

from sqlalchemy import CursorResult, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from scalemesh.core.ids import new_id
from scalemesh.db.tables import EnvVar, Project
from scalemesh.errors import TooLarge
from scalemesh.projects.crypto import Cipher

MAX_VARIABLES = 500


def context(project_id: str, key: str, target: str, branch: str) -> str:
    return f"env:{project_id}:{target}:{branch}:{key}"


async def of(session: AsyncSession, project_id: str) -> Sequence[EnvVar]:
    query = select(EnvVar).where(EnvVar.project_id == project_id)
    return (await session.scalars(query.order_by(EnvVar.key, EnvVar.target, EnvVar.branch))).all()


async def put(
    session: AsyncSession,
    project: Project,
    key: str,
    target: str,
    branch: str,
    sealed: bytes,
    *,
    secret: bool,
    now: int,
) -> EnvVar:
    """Sets the variable with this key, target and branch; a second time replaces it."""
    same = (EnvVar.project_id == project.id, EnvVar.key == key, EnvVar.target == target, EnvVar.branch == branch)
    row = await session.scalar(select(EnvVar).where(*same))
    if row is None:
        count = await session.scalar(select(func.count()).select_from(EnvVar).where(EnvVar.project_id == project.id))
        if (count or 0) >= MAX_VARIABLES:
            raise TooLarge(f"A project has {MAX_VARIABLES} variables at most.", hint="Remove one first.")
        row = EnvVar(
            id=new_id("env"),
            team_id=project.team_id,
            project_id=project.id,
            key=key,
            target=target,
            branch=branch,
            created_at=now,
        )
        session.add(row)
    row.value, row.secret, row.updated_at = sealed, secret, now
    return row


async def remove(session: AsyncSession, project_id: str, key: str, target: str | None, branch: str | None) -> int:
    """Removes what matches (None: whatever it is); answers how many."""
    query = delete(EnvVar).where(EnvVar.project_id == project_id, EnvVar.key == key)
    if target is not None:
        query = query.where(EnvVar.target == target)
    if branch is not None:
        query = query.where(EnvVar.branch == branch)
    result = await session.execute(query)
    return result.rowcount if isinstance(result, CursorResult) else 0


def effective(
    rows: Sequence[EnvVar], cipher: Cipher, target: str, branch: str | None
) -> tuple[dict[str, str], list[str]]:
    """What a build for `target` from `branch` gets, and which of these names are secret."""
    chosen = _chosen(rows, target, branch)
    values = {key: value(row, cipher) for key, row in chosen.items()}
    return values, sorted(key for key, row in chosen.items() if row.secret)


def fingerprint(rows: Sequence[EnvVar], target: str, branch: str | None) -> str:
    """Changes with every change of what `effective` answers; of the sealed bytes, so it tells nothing about a value."""
    digest = hashlib.sha256()
    for key, row in sorted(_chosen(rows, target, branch).items()):
        digest.update(f"{key}={hashlib.sha256(row.value).hexdigest()}\n".encode())
    return digest.hexdigest()


def _chosen(rows: Sequence[EnvVar], target: str, branch: str | None) -> dict[str, EnvVar]:
    """A branch's own value wins over every branch's, then the target's own over `all`."""
    fitting = [row for row in rows if row.target in {target, "all"} and row.branch in {"", branch or ""}]
    return {row.key: row for row in sorted(fitting, key=lambda row: (row.branch != "", row.target != "all"))}


def value(row: EnvVar, cipher: Cipher) -> str:
    return cipher.decrypt(row.value, context(row.project_id, row.key, row.target, row.branch))
