"""Blob rows: which blobs a team has. The bytes lie in the artifact store; a row is written after them."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from scalemesh.artifacts import frames
from scalemesh.artifacts.store import BlobStore
from scalemesh.core.build import BlobRef
from scalemesh.db import Database
from scalemesh.db.tables import Blob
from scalemesh.errors import InvalidInput

_IN_ONE_QUERY = 500
_SMALL_BYTES = 256 * 1024  # up to here a blob is held in memory while others are being stored
_AT_ONCE = 8


class Blobs:
    """The blobs of every team; used by builds and uploads, who know which team is asking."""

    def __init__(self, db: Database, store: BlobStore, clock: Callable[[], int]) -> None:
        self._db = db
        self._store = store
        self._clock = clock

    async def missing(self, team_id: str, refs: Sequence[BlobRef]) -> list[str]:
        """Which of these must be sent; the others are promised to stay for as long as a build may last."""
        wanted = {ref.sha256 for ref in refs}
        async with self._db.write() as session:
            have = await sizes(session, team_id, wanted)
            for some in _slices(list(have)):
                mine = (Blob.team_id == team_id, Blob.sha256.in_(some))
                await session.execute(update(Blob).where(*mine).values(promised_at=self._clock()))
        return sorted(wanted - have.keys())

    async def sizes(self, team_id: str, hashes: Iterable[str]) -> dict[str, int]:
        async with self._db.read() as session:
            return await sizes(session, team_id, hashes)

    async def put(self, team_id: str, sha256: str, data: bytes) -> None:
        size = await self._store.put(team_id, sha256, data)
        await self._record(team_id, [BlobRef(sha256=sha256, size=size)])

    async def put_stream(self, team_id: str, body: AsyncIterable[bytes], max_blob_bytes: int) -> int:
        """Stores every blob of the body (artifacts.frames) and answers how many; all or, by the rows, none of them."""
        stored: list[BlobRef] = []
        pending: set[asyncio.Task[BlobRef]] = set()
        try:
            async for sha256, size, chunks in frames.decode(body, max_blob_bytes=max_blob_bytes):
                if size > _SMALL_BYTES:
                    stored.append(await self._store_one(team_id, sha256, size, chunks))
                    continue
                data = b"".join([chunk async for chunk in chunks])
                pending.add(asyncio.create_task(self._store_one(team_id, sha256, size, data)))
                if len(pending) >= _AT_ONCE:
                    done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                    stored += [task.result() for task in done]
            stored += await asyncio.gather(*pending)
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
        await self._record(team_id, stored)
        return len(stored)

    async def _store_one(self, team_id: str, sha256: str, size: int, data: bytes | AsyncIterator[bytes]) -> BlobRef:
        if await self._store.put(team_id, sha256, data, max_bytes=size) != size:
            raise InvalidInput(f"Blob {sha256} is not {size} bytes.", code="size_mismatch")
        return BlobRef(sha256=sha256, size=size)

    async def _record(self, team_id: str, refs: Sequence[BlobRef]) -> None:
        now = self._clock()
        unique = {ref.sha256: ref for ref in refs}
        async with self._db.write() as session:
            insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
            for some in _slices(sorted(unique)):
                rows = [
                    {
                        "team_id": team_id,
                        "sha256": sha256,
                        "size": unique[sha256].size,
                        "stored_at": now,
                        "promised_at": now,
                    }
                    for sha256 in some
                ]
                known = insert(Blob).values(rows)
                await session.execute(
                    known.on_conflict_do_update(
                        index_elements=[Blob.team_id, Blob.sha256],
                        set_={"promised_at": now, "size": known.excluded.size},
                    )
                )


async def sizes(session: AsyncSession, team_id: str, hashes: Iterable[str]) -> dict[str, int]:
    """SHA-256 → size of those that the team has."""
    found: dict[str, int] = {}
    for some in _slices(sorted(set(hashes))):
        query = select(Blob.sha256, Blob.size).where(Blob.team_id == team_id, Blob.sha256.in_(some))
        found.update((row.sha256, row.size) for row in await session.execute(query))
    return found


def _slices(items: Sequence[str]) -> list[Sequence[str]]:
    return [items[at : at + _IN_ONE_QUERY] for at in range(0, len(items), _IN_ONE_QUERY)]
