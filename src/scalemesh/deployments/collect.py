"""Garbage collection of blobs: what no deployment needs, and nobody was promised of late, goes.

Safe while deploys run. A blob is first marked as collected, which makes it absent to everybody who asks; then roots are
looked for once more; then its bytes go, under the lock of its row, so that an upload of the same bytes at that moment
either keeps them or is told to send them again (Blobs). The mark stays for a while as a tombstone.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass

import msgspec
import structlog
from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from scalemesh.artifacts import receipt
from scalemesh.artifacts.store import BlobStore
from scalemesh.core.build import BlobRef, CacheArchive, Source, UploadSource, UploadTree
from scalemesh.core.documents import decode
from scalemesh.core.manifest import Manifest
from scalemesh.db import Database
from scalemesh.db.tables import Blob, Cache, Deployment, Installation, Team
from scalemesh.deployments.blobs import Blobs, slices
from scalemesh.deployments.caches import BuildCaches
from scalemesh.errors import NotFound

DAY_MS = 24 * 3600 * 1000
_LAST = "collected_at"
_DELETED_AT_ONCE = 50  # a transaction stays open for so many deletions

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Collected:
    """What went, or would go; `kept` blobs stay."""

    blobs: int = 0
    bytes: int = 0
    kept: int = 0

    def __add__(self, other: "Collected") -> "Collected":
        return Collected(self.blobs + other.blobs, self.bytes + other.bytes, self.kept + other.kept)


class Collector:
    """`keep_ms`: how long a promise holds, at least as long as the longest build."""

    def __init__(
        self,
        db: Database,
        store: BlobStore,
        blobs: Blobs,
        caches: BuildCaches,
        clock: Callable[[], int],
        keep_ms: int,
    ) -> None:
        self._db = db
        self._store = store
        self._blobs = blobs
        self._caches = caches
        self._clock = clock
        self._keep_ms = keep_ms

    async def collect(self, *, dry_run: bool = False) -> Collected:
        """All teams, one after the other. Several at once do no harm. Raises Unavailable, and is to be run again."""
        if not dry_run:
            await self._caches.expire()
        async with self._db.read() as session:
            teams = (await session.scalars(select(Team.id).order_by(Team.id))).all()
        total = Collected()
        for team_id in teams:
            total += await self._team(team_id, dry_run=dry_run)
        log.info("blobs collected", blobs=total.blobs, bytes=total.bytes, kept=total.kept, dry_run=dry_run)
        return total

    async def is_due(self) -> bool:
        """True for one asker a day, over all processes; whoever hears it collects."""
        now = self._clock()
        async with self._db.write() as session:
            last = await session.get(Installation, _LAST, with_for_update=True)
            if last is None:
                with contextlib.suppress(IntegrityError):  # another process was as early
                    async with session.begin_nested():
                        session.add(Installation(key=_LAST, value=str(now)))
                return False
            if int(last.value) > now - DAY_MS:
                return False
            last.value = str(now)
        return True

    async def _team(self, team_id: str, *, dry_run: bool) -> Collected:
        if not dry_run:
            await self._adopt(team_id)
        old = await self._old(team_id)
        seen: set[str] = set()
        needed = await self._needed(team_id, seen)
        garbage = {sha256: size for sha256, size in old.items() if sha256 not in needed}
        if not dry_run:
            await self._mark(team_id, garbage)
            await self._unmark(team_id, needed | await self._needed(team_id, seen))
            await self._sweep(team_id)
        async with self._db.read() as session:
            rows = await session.scalars(select(Blob.sha256).where(Blob.team_id == team_id, _PRESENT))
            kept = set(rows) - garbage.keys()
        return Collected(len(garbage), sum(garbage.values()), len(kept))

    async def _adopt(self, team_id: str) -> None:
        """Bytes whose upload broke off before they got a row: they get one, and the time that all others have."""
        listed: list[BlobRef] = [ref async for ref in self._store.list(team_id)]
        for some in slices(listed):
            await self._blobs.adopt(team_id, some)

    async def _old(self, team_id: str) -> dict[str, int]:
        query = select(Blob.sha256, Blob.size).where(Blob.team_id == team_id, _PRESENT, self._is_old())
        async with self._db.read() as session:
            return {row.sha256: row.size for row in await session.execute(query)}

    async def _needed(self, team_id: str, seen: set[str]) -> set[str]:
        """What the team's deployments and caches are made of, but those documents that were `seen`, which grows."""
        query = select(Deployment.manifest_sha256, Deployment.source).where(Deployment.team_id == team_id)
        async with self._db.read() as session:
            rows = (await session.execute(query)).all()
            caches = (await session.scalars(select(Cache.archives).where(Cache.team_id == team_id))).all()
        needed = {archive.sha256 for cache in caches for archive in decode(list[CacheArchive], cache)}
        for manifest, source in rows:
            if manifest and manifest not in seen:
                seen.add(manifest)
                needed |= {manifest, *[ref async for ref in self._of_manifest(team_id, manifest)]}
            kind = msgspec.json.decode(source, type=Source)
            if isinstance(kind, UploadSource) and kind.tree not in seen:
                seen.add(kind.tree)
                needed |= {kind.tree, *[ref async for ref in self._of_tree(team_id, kind.tree)]}
        return needed

    async def _of_manifest(self, team_id: str, sha256: str) -> AsyncIterator[str]:
        for data in await self._read(team_id, sha256):
            for ref in receipt.blobs(decode(Manifest, data)):
                yield ref.sha256

    async def _of_tree(self, team_id: str, sha256: str) -> AsyncIterator[str]:
        for data in await self._read(team_id, sha256):
            for file in decode(UploadTree, data).files:
                yield file.sha256

    async def _read(self, team_id: str, sha256: str) -> Collection[bytes]:
        """One document, or none. Any other trouble than its absence ends the collection: no deletion on a doubt."""
        try:
            return [await self._store.get(team_id, sha256)]
        except NotFound:
            log.error("a deployment's document is not in the artifact store", team=team_id, sha256=sha256)  # noqa: TRY400
            return []

    async def _mark(self, team_id: str, garbage: Collection[str]) -> None:
        for some in slices(sorted(garbage)):
            async with self._db.write() as session:
                still = await _locked(session, team_id, Blob.sha256.in_(some), _PRESENT, self._is_old())
                await _set(session, team_id, still, self._clock())

    async def _unmark(self, team_id: str, needed: Collection[str]) -> None:
        """Whatever came to be needed since we looked, or was marked by a collection that did not end."""
        for some in slices([sha256 for sha256 in await self._marked(team_id) if sha256 in needed]):
            async with self._db.write() as session:
                await _set(session, team_id, some, None)

    async def _marked(self, team_id: str) -> Sequence[str]:
        query = select(Blob.sha256).where(Blob.team_id == team_id, Blob.collected_at.is_not(None))
        async with self._db.read() as session:
            return (await session.scalars(query.order_by(Blob.sha256))).all()

    async def _sweep(self, team_id: str) -> None:
        """The bytes of all that is marked, this time's or an earlier one's; then tombstones that nobody can need."""
        for some in slices(await self._marked(team_id), _DELETED_AT_ONCE):
            async with self._db.write() as session:
                chosen = (Blob.sha256.in_(some), Blob.collected_at.is_not(None))
                for sha256 in await _locked(session, team_id, *chosen):
                    await self._store.delete(team_id, sha256)
        async with self._db.write() as session:
            done = Blob.collected_at < self._clock() - self._keep_ms
            await session.execute(delete(Blob).where(Blob.team_id == team_id, done))

    def _is_old(self) -> ColumnElement[bool]:
        return Blob.promised_at < self._clock() - self._keep_ms


_PRESENT = Blob.collected_at.is_(None)


async def _locked(session: AsyncSession, team_id: str, *which: ColumnElement[bool]) -> list[str]:
    query = select(Blob.sha256).where(Blob.team_id == team_id, *which).order_by(Blob.sha256).with_for_update()
    return list((await session.scalars(query)).all())


async def _set(session: AsyncSession, team_id: str, hashes: Collection[str], collected_at: int | None) -> None:
    of_team = (Blob.team_id == team_id, Blob.sha256.in_(hashes))
    await session.execute(update(Blob).where(*of_team).values(collected_at=collected_at))
