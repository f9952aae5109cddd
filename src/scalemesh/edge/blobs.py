"""The keeper's blobs: fetched once however many ask, verified before anybody sees them, bounded on disk."""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Protocol

from scalemesh.core.build import BlobRef
from scalemesh.edge.blobfiles import BlobFiles
from scalemesh.errors import ScaleMeshError, Unavailable

FETCH_S = 120
FETCHES_AT_ONCE = 32
_KEEP_SHARE = 0.9  # after an eviction


class BlobSource(Protocol):
    """What the keeper needs of artifacts.store.BlobStore."""

    def stream(self, team: str, sha256: str) -> AsyncIterator[bytes]: ...


class Blobs:
    """`ensure` makes a blob present and intact. Opening sweeps what a killed fetch left behind."""

    def __init__(self, folder: Path, source: BlobSource, max_bytes: int) -> None:
        self.files = BlobFiles(folder)
        self._source = source
        self._max_bytes = max_bytes
        self._flights: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(FETCHES_AT_ONCE)
        self._parts = folder / ".parts"
        self._parts.mkdir(parents=True, exist_ok=True)
        for part in self._parts.iterdir():
            part.unlink()

    async def ensure(self, team: str, ref: BlobRef) -> None:
        """Returns once the blob is here with the right bytes; raises Unavailable if it cannot be had."""
        key = (team, ref.sha256)
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = asyncio.create_task(self._fly(team, ref))
            flight.add_done_callback(lambda _: self._flights.pop(key))
        await asyncio.shield(flight)

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
        found = []
        for path in self.files.folder.glob("*/*/*"):
            stat = path.stat()
            found.append((max(stat.st_atime, stat.st_mtime), stat.st_size, path))
        used = sum(size for _, size, _ in found)
        if used <= self._max_bytes:
            return 0
        freed = 0
        for _, size, path in sorted(found):
            if used - freed <= self._max_bytes * _KEEP_SHARE:
                break
            path.unlink()
            freed += size
        return freed
