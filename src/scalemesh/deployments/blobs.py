"""Blob rows: which blobs a team has. The bytes lie in the artifact store; a row is written after them."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from typing import TypeVar

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from scalemesh.artifacts import frames, presign
from scalemesh.artifacts.presign import Presigner
from scalemesh.artifacts.store import BlobStore
from scalemesh.core.build import BlobRef, SignedPut
from scalemesh.db import Database
from scalemesh.db.tables import Blob
from scalemesh.errors import InvalidInput, Unavailable

T = TypeVar("T")

_IN_ONE_QUERY = 500
_SMALL_BYTES = 256 * 1024  # up to here a blob is held in memory while others are being stored
_AT_ONCE = 8
PRESIGN_AT_ONCE = 200


class Blobs:
    """The blobs of every team; used by builds and uploads, who know which team is asking."""

    def __init__(self, db: Database, store: BlobStore, clock: Callable[[], int]) -> None:
        self._db = db
        self._store = store
        self._presigner = Presigner(store.url)
        self._clock = clock

    async def missing(self, team_id: str, refs: Sequence[BlobRef]) -> list[str]:
        """Which of these must be sent; the others are promised to stay for as long as a build may last."""
        wanted = {ref.sha256 for ref in refs}
        have: set[str] = set()
        async with self._db.write() as session:
            for some in slices(sorted(wanted)):
                mine = (Blob.team_id == team_id, Blob.sha256.in_(some), Blob.collected_at.is_(None))
                promise = update(Blob).where(*mine).values(promised_at=self._clock()).returning(Blob.sha256)
                have.update((await session.scalars(promise)).all())
        return sorted(wanted - have)

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

    async def presign(self, team_id: str, refs: Sequence[BlobRef]) -> list[SignedPut]:
        """[] where the store signs nothing. Raises InvalidInput for too many, or a too large one."""
        if len(refs) > PRESIGN_AT_ONCE or any(not 0 <= ref.size <= presign.MAX_BYTES for ref in refs):
            raise InvalidInput(
                f"Ask for at most {PRESIGN_AT_ONCE} blobs of up to {presign.MAX_BYTES} bytes.", code="invalid_presign"
            )
        return await asyncio.to_thread(self._presigner.puts, team_id, refs)

    def urls(self, team_id: str, hashes: Sequence[str]) -> dict[str, str]:
        """Where these can be read for a while past the API; {} where the store signs nothing. Blocks."""
        return self._presigner.gets(team_id, hashes) if hashes else {}

    async def accept(self, team_id: str, refs: Sequence[BlobRef]) -> None:
        """Rows for blobs that were put at signed addresses; the store has compared their hashes itself."""
        gate = asyncio.Semaphore(_AT_ONCE)

        async def check(ref: BlobRef) -> None:
            async with gate:
                if await self._store.head(team_id, ref.sha256) != ref.size:
                    raise InvalidInput(
                        f"Blob {ref.sha256} has not been put.", code="blob_missing", hint="Send it again."
                    )

        if len(refs) > PRESIGN_AT_ONCE:
            raise InvalidInput(f"Report at most {PRESIGN_AT_ONCE} blobs at once.", code="invalid_presign")
        await asyncio.gather(*map(check, refs))
        await self._record(team_id, refs)

    async def _store_one(self, team_id: str, sha256: str, size: int, data: bytes | AsyncIterator[bytes]) -> BlobRef:
        if await self._store.put(team_id, sha256, data, max_bytes=size) != size:
            raise InvalidInput(f"Blob {sha256} is not {size} bytes.", code="size_mismatch")
        return BlobRef(sha256=sha256, size=size)

    async def adopt(self, team_id: str, refs: Sequence[BlobRef]) -> None:
        """Rows for bytes that are in the store and have none."""
        async with self._db.write() as session:
            await session.execute(self._insert(session, team_id, refs).on_conflict_do_nothing())

    async def _record(self, team_id: str, refs: Sequence[BlobRef]) -> None:
        unique = {ref.sha256: ref for ref in refs}
        async with self._db.write() as session:
            for some in slices(sorted(unique)):
                await self._check_collected(session, team_id, some)
                known = self._insert(session, team_id, [unique[sha256] for sha256 in some])
                await session.execute(
                    known.on_conflict_do_update(
                        index_elements=[Blob.team_id, Blob.sha256],
                        set_={
                            "promised_at": known.excluded.promised_at,
                            "size": known.excluded.size,
                            "collected_at": None,
                        },
                    )
                )

    async def _check_collected(self, session: AsyncSession, team_id: str, hashes: Sequence[str]) -> None:
        """Locks the rows. Bytes that were collected after we had stored them must come once more: Unavailable."""
        query = select(Blob.sha256, Blob.collected_at).where(Blob.team_id == team_id, Blob.sha256.in_(hashes))
        rows = (await session.execute(query.order_by(Blob.sha256).with_for_update())).all()
        for sha256, collected_at in rows:
            if collected_at is not None and await self._store.head(team_id, sha256) is None:
                raise Unavailable(
                    f"Blob {sha256} was collected at this moment.", code="blob_collected", hint="Send it again."
                )

    def _insert(
        self, session: AsyncSession, team_id: str, refs: Sequence[BlobRef]
    ) -> "sqlite.Insert | postgresql.Insert":
        now = self._clock()
        insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
        facts = {"team_id": team_id, "stored_at": now, "promised_at": now, "collected_at": None}
        return insert(Blob).values([{"sha256": ref.sha256, "size": ref.size, **facts} for ref in refs])


async def sizes(session: AsyncSession, team_id: str, hashes: Iterable[str]) -> dict[str, int]:
    """SHA-256 → size of those that the team has."""
    found: dict[str, int] = {}
    for some in slices(sorted(set(hashes))):
        mine = (Blob.team_id == team_id, Blob.sha256.in_(some), Blob.collected_at.is_(None))
        query = select(Blob.sha256, Blob.size).where(*mine)
        found.update((row.sha256, row.size) for row in await session.execute(query))
    return found


def slices(items: Sequence[T], size: int = _IN_ONE_QUERY) -> list[Sequence[T]]:
    return [items[at : at + size] for at in range(0, len(items), size)]
