"""Blobs of production sites come to this machine before anybody asks, so that they are served with the store down.

A preview's blobs come when first wanted. What is not fetched here (the store is down) is a miss later.
"""

import asyncio
import logging

from scalemesh.core.build import BlobRef
from scalemesh.core.documents import decode
from scalemesh.core.manifest import Manifest
from scalemesh.edge.blobs import Blobs
from scalemesh.errors import InvalidInput, Unavailable

log = logging.getLogger(__name__)

AT_ONCE = 4
MAX_WAITING = 1000  # sites; more are left to the misses
MAX_BLOB_BYTES = 64 * 1024 * 1024


class Prefetch:
    """`add` never waits; `run` works until cancelled."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._waiting: asyncio.Queue[tuple[str, BlobRef]] = asyncio.Queue(MAX_WAITING)

    def add(self, team: str, manifest: BlobRef) -> None:
        if not self._waiting.full():
            self._waiting.put_nowait((team, manifest))

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            team, manifest = await self._waiting.get()
            try:
                for ref in await asyncio.to_thread(self._absent, team, manifest):
                    await self._blobs.ensure(team, ref)
            except (Unavailable, InvalidInput, OSError) as error:
                log.warning("prefetch given up team=%s: %s", team, error)

    def _absent(self, team: str, manifest: BlobRef) -> list[BlobRef]:
        """The blobs that the manifest names and that are not here, whatever order the site wants them in."""
        data = self._blobs.files.path(team, manifest.sha256).read_bytes()
        entries = decode(Manifest, data).files.values()
        refs = {
            ref for entry in entries for ref in (entry.identity, entry.br, entry.gzip, entry.zstd) if ref is not None
        }
        return [ref for ref in refs if ref.size <= MAX_BLOB_BYTES and self._blobs.files.open(team, ref) is None]
