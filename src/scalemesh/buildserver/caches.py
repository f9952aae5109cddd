"""Caches of a build: taken from the platform's folders before a step, listed for the platform to keep at the end.

Entries: `downloads` (package managers' stores), `framework` (incremental caches), `tree-<key>` (installed dependencies,
which make the install unnecessary: an overlay over them where the machine can do that). The rest is copied, with no
byte shared. The platform moves what is listed once the deployment is ready: dispatch.caches. Where builds share no disk
they come from the artifact store, and go there: buildserver.archives.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from scalemesh.buildserver.runner import Runner
from scalemesh.buildserver.shipper import Shipper
from scalemesh.buildserver.toolchains import Toolchain
from scalemesh.buildserver.tree import Tree
from scalemesh.core.build import CacheList, Plan, Step
from scalemesh.core.documents import encode

if TYPE_CHECKING:  # loaded late: most agents have a disk in common
    from scalemesh.buildserver.archives import Archives

LIST = "caches.json"
_DOWNLOADS = ("home/.npm/_cacache", "home/.local/share/pnpm", "home/.cache/yarn", "home/.yarn/berry/cache",
              "home/.bun/install/cache", "home/.cache/deno", "home/.cache/pip", "home/.cache/uv",
              "workspace/.pnpm-store")  # fmt: skip
_FRAMEWORK = (".next/cache", "node_modules/.cache", "node_modules/.astro", "node_modules/.vite", ".astro", ".turbo",
              ".angular/cache", ".parcel-cache", ".docusaurus", ".nx/cache", ".cache")  # fmt: skip
_LOCKFILES = ("package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock", "bun.lock", "bun.lockb",
              "deno.lock")  # fmt: skip
_KEYED = (*_LOCKFILES, "package.json", ".npmrc", ".yarnrc", ".yarnrc.yml", ".pnpmfile.cjs")
_OF_INSTALL = frozenset({"preinstall", "install", "postinstall", "preprepare", "prepare", "postprepare"})
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
        self._root = "workspace"
        self._key: str | None = None

    def plan(self, plan: Plan, env: Mapping[str, str], toolchains: Sequence[Toolchain]) -> None:
        """`env`: the project's own variables."""
        self._root = "/".join(["workspace", *plan.root_directory.strip("/").split("/")]).rstrip("/")
        self._key = _key(self._directory / "workspace", plan, env, toolchains)
        if self._archives:
            self._expected = asyncio.create_task(self._archives.expect("framework", self._framework()))

    async def before_install(self) -> bool:
        """True where the dependencies are in place already; else the install finds what earlier ones downloaded."""
        modules = f"{self._root}/node_modules"
        if self._key and (
            await self._overlaid(self._key, modules)
            or await self._restore(self._key, [modules, "home/.cache"], needs=modules)
        ):
            self._entries[self._key] = []
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
            if self._key and (tree := self._there([f"{self._root}/node_modules"])):
                self._entries[self._key] = [*tree, *self._there(["home/.cache"])]
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
        return [f"{self._root}/{path}" for path in _FRAMEWORK]

    def _there(self, paths: Sequence[str]) -> list[str]:
        return [path for path in paths if os.path.isdir(self._directory / path)]  # noqa: PTH112

    async def _restore(
        self, entry: str, paths: Sequence[str], step: Step = "install", needs: str | None = None
    ) -> bool:
        async for found, fetch in self._sources(entry, paths):
            if found and (needs is None or needs in found):
                started = time.monotonic()
                done = await asyncio.gather(*map(fetch, found))
                if needs is None or done[found.index(needs)]:
                    took = time.monotonic() - started
                    if names := _names(path for path, ok in zip(found, done, strict=True) if ok):
                        await self._shipper.line(f"Restored from cache in {took:.1f} s: {names}", step=step)
                    return True
        return False

    async def _sources(self, entry: str, paths: Sequence[str]) -> AsyncIterator[tuple[list[str], Fetch]]:
        """Where an entry may be had, the nearest first: which of the paths, and what puts one into its place."""
        for folder in self._folders:
            found = [path for path in paths if (folder / entry / quote(path, safe="")).is_dir()]
            yield found, partial(self._copied, folder / entry)
        if self._archives:
            yield await self._archives.found(entry, paths), partial(self._unpack, self._archives, entry)

    async def _copied(self, entry: Path, path: str) -> bool:
        return await self._copy(entry / quote(path, safe=""), path)

    async def _unpack(self, archives: "Archives", entry: str, path: str) -> bool:
        folder = await archives.unpack(entry, path)
        return folder is not None and await self._copy(folder, path, _MOVE)

    async def _overlaid(self, entry: str, modules: str) -> bool:
        """Shows the dependencies at their place. What else is to lie there is copied first: later is too late."""
        started = time.monotonic()
        source = self._lower(entry, modules)
        if source is None:
            return False
        await self.before_build()
        try:
            os.close(_open(self._directory, modules.split("/")))
        except OSError:  # a link on the way
            return False
        if not await self._runner.overlay(source, self._directory / modules):
            await asyncio.to_thread(shutil.rmtree, self._directory / modules)
            return False
        others = source.parent / quote("home/.cache", safe="")
        if others.is_dir():
            await self._copy(others, "home/.cache")
        took = time.monotonic() - started
        await self._shipper.line(f"Restored from cache in {took:.1f} s: {modules.partition('/')[2]}", step="install")
        return True

    def _lower(self, entry: str, modules: str) -> Path | None:
        """Held from now on; None where there is none, or something is at its place already."""
        if os.path.lexists(self._directory / modules):
            return None
        found = [folder / entry / quote(modules, safe="") for folder in self._folders]
        source = next((path for path in found if path.is_dir()), None)
        return source if source and self._hold(source.parent) else None

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


def _key(workspace: Path, plan: Plan, env: Mapping[str, str], toolchains: Sequence[Toolchain]) -> str | None:
    """None where the install has to run: no lockfile, a command of the owner's, a workspace, scripts of its own."""
    if plan.sources.get("install_command") not in _LOCKFILES:
        return None
    with Tree(workspace, plan.root_directory) as tree:
        files = {name: tree.read(name) for name in _KEYED}
        if tree.read("pnpm-workspace.yaml") is not None or not any(files[name] for name in _LOCKFILES):
            return None
    try:
        package = json.loads(files["package.json"] or b"")
        scripts = package.get("scripts") or {}
        if "workspaces" in package or _OF_INSTALL & set(scripts):
            return None
    except (ValueError, AttributeError, TypeError):
        return None
    digest = hashlib.sha256()
    versions = sorted((t.name, t.version) for t in toolchains)
    facts = [plan.install_command, plan.root_directory, plan.node_version, versions, sorted(env.items())]
    digest.update(json.dumps(facts).encode())
    for name, data in files.items():
        digest.update(name.encode() + (b"-" if data is None else hashlib.sha256(data).digest()))
    return f"tree-{digest.hexdigest()[:40]}"
