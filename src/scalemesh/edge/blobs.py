"""The keeper's blobs: fetched once however many ask, verified before anybody sees them, bounded on disk.

Parts of a large blob that is not here are read past the disk, and cannot be verified: see `part`.
"""

import asyncio
import hashlib
import logging
import secrets
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from pathlib import Path
from typing import Protocol

from scalemesh.core.build import BlobRef
from scalemesh.edge.blobfiles import BlobFiles
from scalemesh.errors import ScaleMeshError, Unavailable

log = logging.getLogger(__name__)

FETCH_S = 120
FETCHES_AT_ONCE = 32
PARTS_AT_ONCE = 64  # more are refused
PIECE_BYTES = 1024 * 1024  # in memory for each part that is being read
MAX_COUNTED = 4096
_KEEP_SHARE = 0.9  # after an eviction


class BlobSource(Protocol):
    """What the keeper needs of artifacts.store.BlobStore."""

    def stream(self, team: str, sha256: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]: ...


class Blobs:
    """`ensure` makes a blob present and intact. Opening sweeps what a killed fetch left behind."""

    def __init__(self, folder: Path, source: BlobSource, max_bytes: int) -> None:
        self.files = BlobFiles(folder)
        self._source = source
        self._max_bytes = max_bytes
        self._flights: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(FETCHES_AT_ONCE)
        self._part_slots = asyncio.Semaphore(PARTS_AT_ONCE)
        self._read_in_parts: dict[tuple[str, str], int] = {}
        self._room = 0  # bytes that may come before the folder has to be looked at
        self._evicting = threading.Lock()
        self._parts = folder / ".parts"
        self._parts.mkdir(parents=True, exist_ok=True)
        for part in self._parts.iterdir():
            part.unlink()

    async def ensure(self, team: str, ref: BlobRef) -> None:
        """Returns once the blob is here with the right bytes; raises Unavailable if it cannot be had."""
        await asyncio.shield(self._flight(team, ref))

    def _flight(self, team: str, ref: BlobRef) -> asyncio.Task[None]:
        key = (team, ref.sha256)
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = asyncio.create_task(self._fly(team, ref))
            flight.add_done_callback(lambda done: self._landed(key, done))
        return flight

    def _landed(self, key: tuple[str, str], flight: asyncio.Task[None]) -> None:
        del self._flights[key]
        if not flight.cancelled() and isinstance(flight.exception(), Unavailable):
            log.info("blob not fetched: %s", flight.exception())  # nobody may be waiting for it any more

    async def _fly(self, team: str, ref: BlobRef) -> None:
        if await asyncio.to_thread(self.files.intact, team, ref):
            return
        try:
            async with self._slots, asyncio.timeout(FETCH_S):
                await self._fetch(team, ref)
        except (OSError, TimeoutError, ScaleMeshError) as error:
            raise Unavailable(f"Blob {ref.sha256[:12]} cannot be fetched: {error or type(error).__name__}") from error

    async def _fetch(self, team: str, ref: BlobRef) -> None:
        part = self._parts / secrets.token_hex(8)
        try:
            digest, size = hashlib.sha256(), 0
            with part.open("xb") as file:
                async for chunk in self._source.stream(team, ref.sha256):
                    size += len(chunk)
                    if size > ref.size:
                        break
                    digest.update(chunk)
                    file.write(chunk)
            if size != ref.size or digest.hexdigest() != ref.sha256:
                raise Unavailable("the store's bytes do not match their name")
            self._install(part, self.files.path(team, ref.sha256))
        finally:
            part.unlink(missing_ok=True)
        self._room -= size
        if self._room < 0:
            await asyncio.to_thread(self.evict)

    async def part(self, team: str, ref: BlobRef, start: int, end: int) -> AsyncGenerator[bytes, None]:
        """Bytes `start` up to `end` (not included) from the store; nothing of it is kept. Raises Unavailable.

        Only their number can be checked: a hash is of the whole. Once as much as the whole was read in parts, the whole
        is fetched, and later parts come from the disk.
        """
        if self._part_slots.locked():
            raise Unavailable(f"{PARTS_AT_ONCE} parts of blobs are being read already.")
        async with self._part_slots:
            while start < end:
                piece = await self._piece(team, ref, start, min(start + PIECE_BYTES, end))
                self._count_parts(team, ref, len(piece))
                yield piece  # no connection to the store waits for a slow client
                start += len(piece)

    async def _piece(self, team: str, ref: BlobRef, start: int, end: int) -> bytes:
        try:
            async with self._slots, asyncio.timeout(FETCH_S):
                piece = b"".join([chunk async for chunk in self._source.stream(team, ref.sha256, start, end)])
        except (OSError, TimeoutError, ScaleMeshError) as error:
            raise Unavailable(f"Blob {ref.sha256[:12]} cannot be read: {error or type(error).__name__}") from error
        if len(piece) != end - start:
            raise Unavailable(f"Blob {ref.sha256[:12]}: the store answered {len(piece)} bytes, not {end - start}")
        return piece

    def _count_parts(self, team: str, ref: BlobRef, size: int) -> None:
        key = (team, ref.sha256)
        read = self._read_in_parts.pop(key, 0) + size
        if read >= ref.size:
            self._flight(team, ref)
            return
        self._read_in_parts[key] = read
        if len(self._read_in_parts) > MAX_COUNTED:
            del self._read_in_parts[next(iter(self._read_in_parts))]

    def put(self, team: str, sha256: str, chunks: Iterable[bytes]) -> None:
        """A blob from this machine (`preview`); nothing is checked: readers do."""
        part = self._parts / secrets.token_hex(8)
        with part.open("xb") as file:
            file.writelines(chunks)
        self._install(part, self.files.path(team, sha256))

    @staticmethod
    def _install(part: Path, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.replace(path)

    def evict(self) -> int:
        """Delete the blobs unused longest until the folder is within its bound; bytes freed. Not on an event loop."""
        with self._evicting:
            found = []
            for path in self.files.folder.glob("*/*/*"):
                stat = path.stat()
                found.append((max(stat.st_atime, stat.st_mtime), stat.st_size, path))
            used, freed = sum(size for _, size, _ in found), 0
            keep = self._max_bytes * _KEEP_SHARE if used > self._max_bytes else used
            for _, size, path in sorted(found):
                if used - freed <= keep:
                    break
                path.unlink()
                freed += size
            self._room = self._max_bytes - used + freed
        return freed
