"""Caches of builds that share no disk: entries in the database, their archives among the team's blobs.

The rules are those of one machine's (dispatch.caches): a scope for each project and trust, production never reads what
a branch has left, and nothing changes but by a build that became ready, in the transaction that makes it so.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec
from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from scalemesh.artifacts.store import BlobStore
from scalemesh.core.build import CacheArchive, CacheIndex, CacheScope
from scalemesh.core.documents import decode, encode
from scalemesh.db import Database
from scalemesh.db.tables import Attempt, Cache, Deployment
from scalemesh.deployments.blobs import Blobs
from scalemesh.errors import Conflict, InvalidInput, NotFound

MAX_AGE_MS = 14 * 24 * 3600 * 1000
MAX_ENTRIES = 64
MAX_ARCHIVES = 1000  # a workspace has one for each of its packages
_ENTRY = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")


class BuildCaches:
    """`max_bytes` is of one project and trust, as the archives lie in the store."""

    def __init__(self, db: Database, store: BlobStore, blobs: Blobs, clock: Callable[[], int], max_bytes: int) -> None:
        self._db = db
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._max_bytes = max_bytes

    async def readable(self, row: Deployment) -> CacheIndex:
        """What a build of this deployment may use; of two entries of one name, its own scope's."""
        found = await self._found(row)
        hashes = sorted({archive.sha256 for archives in found.values() for archive in archives})
        urls = await asyncio.to_thread(self._blobs.urls, row.team_id, hashes)
        entries = {
            entry: [msgspec.structs.replace(archive, url=urls.get(archive.sha256, "")) for archive in archives]
            for entry, archives in found.items()
        }
        return CacheIndex(entries=entries)

    async def stream(self, row: Deployment, sha256: str) -> AsyncIterator[bytes]:
        """One archive of those. Raises NotFound, also for any other blob of the team."""
        if not any(archive.sha256 == sha256 for archives in (await self._found(row)).values() for archive in archives):
            raise NotFound("No such archive.", code="archive_not_found")
        return self._store.stream(row.team_id, sha256)

    async def propose(self, attempt: str, team_id: str, index: CacheIndex) -> None:
        """Notes what the attempt leaves, in place of what it said before. Raises InvalidInput, Conflict."""
        await self._check(team_id, index)
        open_ = (Attempt.id == attempt, Attempt.ended_at.is_(None))
        noted = update(Attempt).where(*open_).values(caches=encode(index).decode()).returning(Attempt.id)
        async with self._db.write() as session:
            if await session.scalar(noted) is None:
                raise Conflict(f"Attempt {attempt} is over.", code="attempt_over")

    async def adopt(self, session: AsyncSession, row: Deployment, attempt: Attempt) -> None:
        """What the attempt noted becomes its scope's. The caller holds the project's row, and commits."""
        if attempt.caches is None:
            return
        index, attempt.caches = decode(CacheIndex, attempt.caches), None
        scope, now = scope_of(row.project_id, row.target), self._clock()
        key = {"project_id": scope.project, "trust": scope.trust}
        for entry, archives in index.entries.items():
            if archives:
                size = sum(archive.size for archive in archives)
                facts = {"team_id": row.team_id, "archives": encode(archives).decode(), "size": size, "used_at": now}
                await session.merge(Cache(**key, entry=entry, **facts))
            else:
                await session.execute(update(Cache).filter_by(**key, entry=entry).values(used_at=now))
        await session.flush()
        await self._shrink(session, scope)

    async def expire(self) -> None:
        """Removes what no build has used for MAX_AGE_MS."""
        async with self._db.write() as session:
            await session.execute(delete(Cache).where(Cache.used_at < self._clock() - MAX_AGE_MS))

    async def _found(self, row: Deployment) -> dict[str, list[CacheArchive]]:
        scope = scope_of(row.project_id, row.target)
        trusts = {"production", scope.trust}
        query = select(Cache.trust, Cache.entry, Cache.archives)
        async with self._db.read() as session:
            rows = await session.execute(query.where(Cache.project_id == scope.project, Cache.trust.in_(trusts)))
        own_last = sorted(rows, key=lambda cache: cache.trust == scope.trust)
        return {cache.entry: decode(list[CacheArchive], cache.archives) for cache in own_last}

    async def _check(self, team_id: str, index: CacheIndex) -> None:
        if len(index.entries) > MAX_ENTRIES or not all(map(_ENTRY.fullmatch, index.entries)):
            raise InvalidInput(f"At most {MAX_ENTRIES} entries, of a-z, 0-9 and `-`.", code="invalid_caches")
        archives = [archive for entry in index.entries.values() for archive in entry]
        if len(archives) > MAX_ARCHIVES or any(archive.url for archive in archives):
            raise InvalidInput(f"At most {MAX_ARCHIVES} archives, without an address.", code="invalid_caches")
        sizes = await self._blobs.sizes(team_id, [archive.sha256 for archive in archives])
        for archive in archives:
            if sizes.get(archive.sha256) != archive.size:
                raise InvalidInput(f"Blob {archive.sha256} is not there.", code="blob_missing", hint="Send it first.")

    async def _shrink(self, session: AsyncSession, scope: CacheScope) -> None:
        """The newest entries that fit together stay."""
        of_scope = (Cache.project_id == scope.project, Cache.trust == scope.trust)
        rows: Sequence[Cache] = (
            await session.scalars(select(Cache).where(*of_scope).order_by(Cache.used_at.desc(), Cache.size))
        ).all()
        total = 0
        for cache in rows:
            total += cache.size
            if total > self._max_bytes:
                await session.delete(cache)


def scope_of(project: str, target: str) -> CacheScope:
    """Whose caches a build for `target` has."""
    return CacheScope(project=project, trust="production" if target == "production" else "branch")
