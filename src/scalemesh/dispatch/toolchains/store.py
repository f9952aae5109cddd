"""The folder of toolchains: what is there, what must be fetched first."""

import asyncio
import os
import shutil
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from scalemesh.dispatch.toolchains.catalog import CATALOG, Fetched, Recipe
from scalemesh.dispatch.toolchains.versions import VERSION, NoSuchVersion, fits, newest
from scalemesh.errors import BuildFailed


@dataclass(frozen=True)
class Installed:
    """`path` has `bin/`; None: the machine's own program, in /usr."""

    path: Path | None
    version: str


class Store:
    """Opened by being used. One fetch at a time per toolchain; what is there answers without a network."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def ensure(self, name: str, version: str | None) -> Installed:
        """`version`: exact, a prefix (`22`, `10.4`), or None for whatever does.

        Raises BuildFailed (`toolchain_unknown`, `toolchain_version`) or InfrastructureFault (`toolchain_unavailable`).
        """
        recipe = CATALOG.get(name)
        if recipe is None or not VERSION.fullmatch(version or "0"):
            raise BuildFailed(f"There is no toolchain {name} {version or ''}.".strip(), code="toolchain_unknown")
        async with self._turns[name]:
            return await asyncio.to_thread(self._ensure, recipe, version)

    def _ensure(self, recipe: Recipe, version: str | None) -> Installed:
        if own := recipe.host(version):
            return Installed(None, own)
        wanted = version or recipe.default
        if found := self._newest(recipe.name, wanted) or self._instead(recipe.name, wanted):
            return found
        self._folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetching-", dir=self._folder) as scratch:
            installed = self._keep(recipe.name, *_fetched(recipe, wanted, Path(scratch)))
        if not fits(installed.version, wanted):
            link = self._instead_of(recipe.name, wanted)
            link.unlink(missing_ok=True)  # it led to what has been removed
            link.symlink_to(f"{recipe.name}-{installed.version}")
        return installed

    def _newest(self, name: str, wanted: str) -> Installed | None:
        versions = [path.name.removeprefix(f"{name}-") for path in self._folder.glob(f"{name}-*")]
        best = newest(versions, wanted)
        return Installed(self._folder / f"{name}-{best}", best) if best else None

    def _instead(self, name: str, wanted: str) -> Installed | None:
        """What was found to do for a version that cannot be had."""
        link = self._instead_of(name, wanted)
        if not link.is_dir():
            return None
        path = self._folder / link.readlink()
        return Installed(path, path.name.removeprefix(f"{name}-"))

    def _instead_of(self, name: str, wanted: str) -> Path:
        return self._folder / f".instead-of-{name}-{wanted}"

    def _keep(self, name: str, tree: Path, version: str) -> Installed:
        """Readable by everybody, writable by nobody but us; there whole or not at all."""
        target = self._folder / f"{name}-{version}"
        for base, _, leaves in os.walk(tree):
            Path(base).chmod(0o755)
            for leaf in leaves:
                path = Path(base, leaf)
                if not path.is_symlink():
                    path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
        if target.exists():
            shutil.rmtree(tree)
        else:
            tree.rename(target)
        return Installed(target, version)


def _fetched(recipe: Recipe, wanted: str, scratch: Path) -> Fetched:
    for attempt in _widening(wanted) if recipe.is_lenient else [wanted]:
        try:
            return recipe.fetch(attempt, scratch)
        except NoSuchVersion as error:
            newest_ones = error.newest
    raise BuildFailed(
        f"{recipe.title} {wanted} cannot be had.",
        code="toolchain_version",
        hint=f"Ask for another version; of each line there is {', '.join(newest_ones)}.",
    )


def _widening(version: str) -> list[str]:
    """22.4.1, then 22.4, then 22: the line is what a project depends on."""
    parts = version.split(".")
    return [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
