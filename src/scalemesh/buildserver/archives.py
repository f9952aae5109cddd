"""Caches where builds share no disk: archives among the team's blobs, by way of the API.

What is unpacked lies beside the workspace until whoever asked moves it to its place: so it can be on its way while
other steps run, and nothing half unpacked is ever in use. A cache is never worth a failure.
"""

import asyncio
import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from scalemesh.artifacts import archive, beneath
from scalemesh.artifacts.pack import PackedBlob
from scalemesh.artifacts.spool import Spool
from scalemesh.buildserver.control.base import Control
from scalemesh.buildserver.retry import retrying
from scalemesh.buildserver.steps.publish import send
from scalemesh.core.build import CacheArchive, CacheIndex, Limits
from scalemesh.errors import ScaleMeshError
from scalemesh.sandbox import folders
from scalemesh.sandbox.watch import usage_bytes

MAX_ARCHIVE_BYTES = 1024**3
AT_ONCE = 4  # a workspace may have a hundred folders
RESTORE_S = 300
SAVE_S = 120
_FAILURES = (OSError, TimeoutError, ScaleMeshError)

log = logging.getLogger(__name__)


class Archives:
    """One build's. `readable`: it may use what earlier ones have left."""

    def __init__(self, control: Control, directory: Path, limits: Limits, *, readable: bool) -> None:
        self._control = control
        self._directory = directory
        self._limits = limits
        self._readable = readable
        self._index: asyncio.Task[CacheIndex] | None = None
        self._unpacked: dict[tuple[str, str], asyncio.Task[Path | None]] = {}
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def found(self, entry: str, paths: Sequence[str]) -> list[str]:
        """Which of these folders an entry has."""
        there = {each.path for each in await self._entry(entry)}
        return [path for path in paths if path in there]

    async def unpack(self, entry: str, path: str) -> Path | None:
        """One of those, in a folder of the caller's own, once; None where that failed."""
        key = entry, path
        if key not in self._unpacked:
            self._unpacked[key] = asyncio.create_task(self._unpack(entry, path))
        return await self._unpacked[key]

    async def expect(self, entry: str, paths: Sequence[str]) -> None:
        """Unpacks what is going to be asked for."""
        await asyncio.gather(*[self.unpack(entry, path) for path in await self.found(entry, paths)])

    async def save(self, entries: Mapping[str, Sequence[str]]) -> dict[str, int]:
        """Sends what these entries are made of; it counts once the build is ready. Answers folder → bytes sent."""
        try:
            async with asyncio.timeout(SAVE_S):
                used = await asyncio.to_thread(usage_bytes, self._directory)
                room = min(MAX_ARCHIVE_BYTES, (self._limits.disk_bytes - used) // AT_ONCE)
                every = [path for paths in entries.values() for path in paths]
                made = {entry: await self._pack_all(paths, every, room) for entry, paths in entries.items()}
                index = {entry: archives for entry, archives in made.items() if archives is not None}
                await retrying(partial(self._control.leave, CacheIndex(entries=index)))
        except _FAILURES as error:
            log.warning("caches not kept: %s", error)
            return {}
        return {each.path: each.size for archives in index.values() for each in archives}

    async def _entry(self, entry: str) -> list[CacheArchive]:
        if self._index is None:
            self._index = asyncio.create_task(self._read_index())
        return (await self._index).entries.get(entry, [])

    async def _read_index(self) -> CacheIndex:
        try:
            async with asyncio.timeout(RESTORE_S):
                return await retrying(self._control.caches) if self._readable else CacheIndex(entries={})
        except _FAILURES as error:
            log.warning("no caches: %s", error)
            return CacheIndex(entries={})

    async def _unpack(self, entry: str, path: str) -> Path | None:
        wanted = next(each for each in await self._entry(entry) if each.path == path)
        folder = Path(tempfile.mkdtemp(prefix="cache-", dir=self._directory))
        try:
            async with self._gate, asyncio.timeout(RESTORE_S):
                chunks = self._control.archive(wanted)
                await archive.unpack(chunks, wanted.sha256, folder, self._limits.disk_bytes)
        except _FAILURES as error:
            log.warning("cache %s of %s not restored: %s", path, entry, error)
            await asyncio.to_thread(folders.remove, folder)
            return None
        return folder

    async def _pack_all(self, paths: Sequence[str], every: Sequence[str], room: int) -> list[CacheArchive] | None:
        """None where one of them failed: an entry is whole, or stays what it was. A folder in another goes once."""
        packing = [asyncio.create_task(self._pack(path, _beneath(path, every), room)) for path in paths]
        try:
            return list(await asyncio.gather(*packing))
        except (OSError, ScaleMeshError) as error:
            log.warning("cache of %s not kept: %s", ", ".join(paths), error)
            return None
        finally:
            for task in packing:
                task.cancel()

    async def _pack(self, path: str, without: Sequence[str], room: int) -> CacheArchive:
        async with self._gate:
            folder = beneath.open_folder(self._directory, path)
            try:
                with closing(Spool(self._directory)) as spool:
                    ref = await archive.pack(folder, spool, room, without)
                    await send(self._control, {ref.sha256: PackedBlob(ref.size, partial(spool.open, 0, ref.size))})
            finally:
                os.close(folder)
        return CacheArchive(path=path, sha256=ref.sha256, size=ref.size)


def _beneath(path: str, every: Sequence[str]) -> list[str]:
    return [other.removeprefix(f"{path}/") for other in every if other.startswith(f"{path}/")]
