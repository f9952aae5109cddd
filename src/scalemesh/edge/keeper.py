"""The keeper: follows the route feed into the index, answers the workers' misses, keeps the disk within its bound.

Order matters: manifests are in the index before a host names them; the index is committed before the generation is
raised; both are done before the next poll acknowledges the version.
"""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from scalemesh.core.documents import decode
from scalemesh.core.manifest import Manifest
from scalemesh.core.routes import Route, RouteSnapshot
from scalemesh.edge.blobs import Blobs
from scalemesh.edge.index import Generation, IndexWriter
from scalemesh.edge.prefetch import Prefetch
from scalemesh.errors import Forbidden, InvalidInput, Unavailable

log = logging.getLogger(__name__)

RETRY_S = 0.3  # an edge that lost its connection and came back is right within a second
GIVE_UP = 5  # tries at one manifest that cannot be had; then its host stays as it was, and the feed goes on
COLLECT_S = 300.0
MANIFESTS_AT_ONCE = 32
SLICE = 1000  # routes; more come only to an edge that is new, or was away for long


class Feed(Protocol):
    """What the keeper needs of feed.RouteFeed."""

    async def poll(self, after: int) -> RouteSnapshot: ...


class Keeper:
    """`follow` and `tidy` run until cancelled; either may die and be started again at any time."""

    def __init__(
        self, index: IndexWriter, generation: Generation, blobs: Blobs, feed: Feed, prefetch: Prefetch
    ) -> None:
        self._index = index
        self._generation = generation
        self._blobs = blobs
        self._feed = feed
        self._prefetch = prefetch
        self._failures: dict[tuple[str, str], int] = {}
        self._writing = asyncio.Lock()

    async def follow(self) -> None:
        """Apply every snapshot; a feed that does not answer changes nothing here."""
        reported = ""
        while True:
            try:
                complete = await self._step()
                reported = ""
            except (Unavailable, Forbidden, InvalidInput) as error:
                complete = False
                if error.message != reported:
                    log.warning("route feed: %s", error.message)
                    reported = error.message
            if not complete:
                await asyncio.sleep(RETRY_S)

    async def _step(self) -> bool:
        version = self._index.version()
        snapshot = await self._feed.poll(version)
        if snapshot.version == version and not snapshot.routes and not snapshot.full:
            return True
        return await self.apply(snapshot)

    async def apply(self, snapshot: RouteSnapshot) -> bool:
        """Put what can be put into force; False if something has to be asked for again, and nothing is acknowledged."""
        async with self._writing:
            missing = await self._load_slices(snapshot.routes)
            routes = [route for route in snapshot.routes if _key(route) not in missing]
            undecided = any(self._failures[key] < GIVE_UP for key in missing)
            version = self._index.version() if undecided else snapshot.version
            full = snapshot.full and not missing
            await asyncio.to_thread(self._index.apply, routes, version, full=full)
        self._generation.raise_()
        for route in routes:
            if route.production and route.manifest is not None:
                self._prefetch.add(route.team, route.manifest)
        return not undecided

    async def _load_slices(self, routes: Sequence[Route]) -> set[tuple[str, str]]:
        """The manifests that cannot be had. Where there are many, hosts are served as soon as theirs are here."""
        if len(routes) <= SLICE:
            return await self._load_manifests(routes)
        missing: set[tuple[str, str]] = set()
        for start in range(0, len(routes), SLICE):
            part = routes[start : start + SLICE]
            missing |= await self._load_manifests(part)
            ready = [route for route in part if _key(route) not in missing]
            await asyncio.to_thread(self._index.apply, ready, self._index.version())
            self._generation.raise_()
        return missing

    async def _load_manifests(self, routes: Iterable[Route]) -> set[tuple[str, str]]:
        """Fetch and index the manifests that are new; those that failed."""
        wanted = {_key(route): route for route in routes if route.manifest is not None}
        slots = asyncio.Semaphore(MANIFESTS_AT_ONCE)

        async def load(route: Route) -> bool:
            async with slots:
                return await self._load_manifest(route)

        loaded = await asyncio.gather(*(load(route) for route in wanted.values()))
        return {key for key, ok in zip(wanted, loaded, strict=True) if not ok}

    async def _load_manifest(self, route: Route) -> bool:
        ref, key = route.manifest, _key(route)
        if ref is None or self._index.has_manifest(route.team, ref.sha256):
            return True
        try:
            await self._blobs.ensure(route.team, ref)
            data = await asyncio.to_thread(self._blobs.files.path(route.team, ref.sha256).read_bytes)
            manifest = decode(Manifest, data)
        except (Unavailable, InvalidInput, ValueError, OSError) as error:
            self._failures[key] = self._failures.get(key, 0) + 1
            log.warning("manifest of host=%s cannot be had tries=%s: %s", route.host, self._failures[key], error)
            return False
        self._failures.pop(key, None)
        await asyncio.to_thread(self._index.add_manifest, route.team, ref.sha256, manifest)
        return True

    async def tidy(self) -> None:
        """Every few minutes: forget manifests that no host names, and the blobs unused longest."""
        while True:
            await asyncio.sleep(COLLECT_S)
            started = time.monotonic()
            async with self._writing:
                manifests = await _quietly(self._index.collect)
            freed = await _quietly(self._blobs.evict)
            log.info("tidied manifests=%s freed_bytes=%s in_s=%.1f", manifests, freed, time.monotonic() - started)


def _key(route: Route) -> tuple[str, str]:
    return (route.team, route.manifest.sha256 if route.manifest else "")


async def _quietly(act: Callable[[], int]) -> int:
    """Tidying may fail (a file vanished, a busy index) and is tried again the next time."""
    try:
        return await asyncio.to_thread(act)
    except (OSError, sqlite3.OperationalError) as error:
        log.warning("tidying failed: %s", error)
        return 0


def edge_folder(data_dir: Path) -> Path:
    folder = data_dir / "edge"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder
