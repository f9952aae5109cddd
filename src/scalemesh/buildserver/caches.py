"""Caches of a build: taken from the platform's folders before a step, listed for the platform to keep at the end.

Entries: `downloads` (package managers' stores), `framework` (incremental caches), `tree-<key>` (installed dependencies,
which make the install unnecessary: an overlay over them where the machine can do that). The rest is copied, with no
byte shared. The platform moves what is listed once the deployment is ready: dispatch.caches. Where builds share no disk
they come from the artifact store, and go there: buildserver.archives.
"""

import asyncio
import contextlib
import fcntl
import os
import posixpath
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from scalemesh.buildserver import dependencies
from scalemesh.buildserver.runner import Runner
from scalemesh.buildserver.shipper import Shipper
from scalemesh.buildserver.toolchains import Toolchain
from scalemesh.core.build import CacheList, Plan, Step
from scalemesh.core.documents import encode

if TYPE_CHECKING:  # loaded late: most agents have a disk in common
    from scalemesh.buildserver.archives import Archives

LIST = "caches.json"
_DOWNLOADS = ("home/.npm/_cacache", "home/.local/share/pnpm", "home/.cache/yarn", "home/.yarn/berry/cache",
              "home/.bun/install/cache", "home/.cache/deno", "home/.cache/pip", "home/.cache/uv",
              "workspace/.pnpm-store", "workspace/.yarn/cache")  # fmt: skip
_FRAMEWORK = (".next/cache", "node_modules/.cache", "node_modules/.astro", "node_modules/.vite", ".astro", ".turbo",
              ".angular/cache", ".parcel-cache", ".docusaurus", ".nx/cache", ".nx/workspace-data",
              ".cache")  # fmt: skip
_BESIDE = "home/.cache"  # programs that installs fetch, such as browsers
_COPY = ("cp", "-R", "-P", "--preserve=mode,timestamps,links", "--reflink=auto")
_MOVE = ("mv",)
_COPY_S = 300
Fetch = Callable[[str], Awaitable[bool]]


class Caches:
    """One build's. `folders`: its own scope first; none where there is no cache, or it is not wanted."""

    def __init__(
        self, folders: Sequence[Path], runner: Runner, shipper: Shipper, archives: "Archives | None" = None
    ) -> None:
        self._archives = archives
        self._folders = folders
        self._runner = runner
        self._directory = runner.directory
        self._held: list[int] = []  # folders that the platform must leave alone until this process ends
        self._shipper = shipper
        self._entries: dict[str, list[str]] = {}
        self._roots = ["workspace"]
        self._trees: Sequence[str] = ()
        self._key: str | None = None

    async def plan(self, plan: Plan, env: Mapping[str, str], toolchains: Sequence[Toolchain]) -> None:
        """`env`: the project's own variables."""
        found = await asyncio.to_thread(dependencies.of, self._directory / "workspace", plan, env, toolchains)
        roots = (plan.root_directory, found.installed_in)
        self._roots = list(dict.fromkeys(posixpath.normpath(f"workspace/{root}") for root in roots))
        self._key, self._trees = found.key, found.folders
        if self._archives:
            self._expected = asyncio.create_task(self._archives.expect("framework", self._framework()))

    async def before_install(self) -> bool:
        """True where the dependencies are in place already; else the install finds what earlier ones downloaded."""
        key, trees = self._key, self._trees
        if key and (await self._overlaid(key) or await self._restore(key, [*trees, _BESIDE], needs=trees)):
            self._entries[key] = []
            return True
        await self._restore("downloads", _DOWNLOADS)
        return False

    async def before_build(self) -> None:
        await self._restore("framework", self._framework(), "build")

    async def leave(self) -> None:
        """Writes the list, or sends the archives, of what has been gained: restored dependencies stay as they are."""
        self._entries["framework"] = self._there(self._framework())
        if self._key not in self._entries:
            self._entries["downloads"] = self._there(_DOWNLOADS)
            if self._key and (trees := self._there(self._trees)):
                self._entries[self._key] = [*trees, *self._there([_BESIDE])]
        if self._archives:
            await self._save(self._archives)
        else:
            (self._directory / LIST).write_bytes(encode(CacheList(entries=self._entries)))

    async def _save(self, archives: "Archives") -> None:
        started = time.monotonic()
        if kept := await archives.save(self._entries):
            took, megabytes = time.monotonic() - started, sum(kept.values()) / 1e6
            line = f"Kept for later builds in {took:.1f} s: {_names(kept)} ({megabytes:.1f} MB)"
            await self._shipper.line(line, step="upload")

    def _framework(self) -> list[str]:
        return [f"{root}/{path}" for root in self._roots for path in _FRAMEWORK]

    def _there(self, paths: Sequence[str]) -> list[str]:
        return [path for path in paths if os.path.isdir(self._directory / path)]  # noqa: PTH112

    async def _restore(
        self, entry: str, paths: Sequence[str], step: Step = "install", needs: Sequence[str] = ()
    ) -> bool:
        """Of what the entry has of `needs`, all of it or nothing counts."""
        async for found, fetch in self._sources(entry, paths):
            needed = [path for path in found if path in needs]
            if found and (needed or not needs):
                started = time.monotonic()
                done = dict(zip(found, await asyncio.gather(*map(fetch, found)), strict=True))
                if all(done[path] for path in needed):
                    took = time.monotonic() - started
                    if names := _names(path for path, ok in done.items() if ok):
                        await self._shipper.line(f"Restored from cache in {took:.1f} s: {names}", step=step)
                    return True
        return False

    async def _sources(self, entry: str, paths: Sequence[str]) -> AsyncIterator[tuple[list[str], Fetch]]:
        """Where an entry may be had, the nearest first: which of the paths, and what puts one into its place."""
        for folder in self._folders:
            found = [path for path in paths if (folder / entry / _quoted(path)).is_dir()]
            yield found, partial(self._copied, folder / entry)
        if self._archives:
            yield await self._archives.found(entry, paths), partial(self._unpack, self._archives, entry)

    async def _copied(self, entry: Path, path: str) -> bool:
        return await self._copy(entry / _quoted(path), path)

    async def _unpack(self, archives: "Archives", entry: str, path: str) -> bool:
        folder = await archives.unpack(entry, path)
        return folder is not None and await self._copy(folder, path, _MOVE)

    async def _overlaid(self, entry: str) -> bool:
        """Shows the dependencies at their places. What else is to lie there is copied first: later is too late."""
        started = time.monotonic()
        source = self._lower(entry)
        if source is None:
            return False
        await self.before_build()
        trees = [path for path in self._trees if (source / _quoted(path)).is_dir()]
        for at, path in enumerate(trees):
            if not await self._show(source / _quoted(path), path):
                self._key = self._key if at == 0 else None  # some are shown: what is seen of them here is no cache
                return False
        if (source / _quoted(_BESIDE)).is_dir():
            await self._copy(source / _quoted(_BESIDE), _BESIDE)
        took = time.monotonic() - started
        await self._shipper.line(f"Restored from cache in {took:.1f} s: {_names(trees)}", step="install")
        return True

    async def _show(self, lower: Path, path: str) -> bool:
        try:
            os.close(_open(self._directory, path.split("/")))
        except OSError:  # a link on the way
            return False
        if await self._runner.overlay(lower, self._directory / path):
            return True
        await asyncio.to_thread(shutil.rmtree, self._directory / path)
        return False

    def _lower(self, entry: str) -> Path | None:
        """The entry, held from now on; None where there is none, or something is at a place of its already."""
        if any(os.path.lexists(self._directory / path) for path in self._trees):
            return None
        found = (folder / entry for folder in self._folders)
        source = next((each for each in found if any((each / _quoted(path)).is_dir() for path in self._trees)), None)
        return source if source and self._hold(source) else None

    def _hold(self, entry: Path) -> bool:
        """Until this process ends. False where it has gone meanwhile."""
        try:
            fd = os.open(entry, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._held.append(fd)
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return os.path.samestat(os.fstat(fd), os.stat(entry))  # noqa: PTH116
        except OSError:
            return False

    async def _copy(self, source: Path, path: str, how: Sequence[str] = _COPY) -> bool:
        """False, with nothing left of it, where something is there already or the source went away."""
        *parents, name = path.split("/")
        fd = -1
        try:
            fd = _open(self._directory, parents)
            with contextlib.suppress(FileNotFoundError):
                os.stat(name, dir_fd=fd, follow_symlinks=False)
                return False
            target = f"/proc/self/fd/{fd}/{name}"
            argv = (*how, "-T", str(source), target)
            process = await asyncio.create_subprocess_exec(
                *argv, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL, pass_fds=(fd,)
            )
            try:
                async with asyncio.timeout(_COPY_S):
                    if await process.wait() == 0:
                        return True
            finally:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
            await asyncio.to_thread(shutil.rmtree, name, dir_fd=fd)
        except (OSError, TimeoutError):  # a cache is never worth a failure
            return False
        finally:
            if fd >= 0:
                os.close(fd)
        return False


def _names(paths: Iterable[str]) -> str:
    return ", ".join(path.partition("/")[2] for path in paths)


def _quoted(path: str) -> str:
    return quote(path, safe="")


def _open(directory: Path, parts: Sequence[str]) -> int:
    """The folder below `directory`, made where it is missing. Raises OSError, as for a link."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in parts:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, dir_fd=fd)
            above, fd = fd, os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            os.close(above)
    except BaseException:
        os.close(fd)
        raise
    return fd
