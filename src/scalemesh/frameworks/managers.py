"""Which package manager, which version of it, and where it installs.

Order and rules are Vercel's (packages/build-utils/src/fs/run-user-scripts.ts): a lockfile beats the `packageManager`
field, the nearest lockfile up the tree counts, a parent's only if the parent is a workspace that has this project.
"""

import fnmatch
import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from scalemesh.frameworks.files import Files, Package, read_package

LOCKFILES = {
    "bun.lockb": "bun",
    "bun.lock": "bun",
    "yarn.lock": "yarn",
    "pnpm-lock.yaml": "pnpm",
    "package-lock.json": "npm",
    "npm-shrinkwrap.json": "npm",
    "deno.lock": "deno",
}
_PRECEDENCE = ("yarn.lock", "pnpm-lock.yaml", "package-lock.json", "npm-shrinkwrap.json", "bun.lock", "bun.lockb",
               "deno.lock")  # fmt: skip
_PNPM_OF_LOCKFILE = {"5": "7", "6": "8", "9": "10"}
_LINKER = r"^nodeLinker:\s*[\"']?(node-modules|pnpm)"
_FIELD = re.compile(r"(npm|pnpm|yarn|bun|deno)@([\^~]?)(\d+(?:\.\d+){0,2})")
_KEPT = {"": 3, "~": 2, "^": 1}  # how many parts of a version a range holds


@dataclass(frozen=True)
class Manager:
    """`directory`, relative to the repository, is where dependencies are installed: the workspace's if there is one."""

    name: str
    version: str | None
    lockfile: str | None
    directory: str
    source: str
    plug_n_play: bool = False  # packages without a node_modules, and no programs on PATH

    def run(self, script: str) -> str:
        return f"deno task {script}" if self.name == "deno" else f"{self.name} run {script}"

    def top_level(self, program: str) -> str:
        """A program that the workspace depends on, called in any project of it."""
        return f"yarn run -T {program}" if self.plug_n_play else program

    def execute(self, program: str) -> str:
        """The same, called where dependencies are installed."""
        return f"yarn {program}" if self.plug_n_play else f"npx {program}"

    def install(self, project: str) -> str:
        """The command, to be run in `project`."""
        frozen = self.lockfile is not None
        if self.name == "npm":
            away = posixpath.relpath(self.directory or ".", project or ".") if self.directory != project else ""
            return ("npm ci" if frozen else "npm install") + (f" --prefix={away}" if away else "")
        if self.is_berry:
            return "yarn install --immutable" if frozen else "yarn install --no-immutable"  # CI is immutable by default
        if self.name == "deno":
            return "deno install --frozen" if frozen else "deno install"
        return f"{self.name} install --frozen-lockfile" if frozen else f"{self.name} install"

    @property
    def is_berry(self) -> bool:
        return self.name == "yarn" and self.version is not None and self.version.split(".")[0] != "1"


def find(repository: Files, project: str, package: Package) -> Manager:
    """`project` is the root directory, "" for the repository itself; `package` its package.json."""
    workspace = next((d for d in _up(project) if d != project and has_member(repository.at(d), d, project)), project)
    for directory in dict.fromkeys((project, workspace)):
        files = repository.at(directory)
        if lockfile := _lockfile(files):
            name = LOCKFILES[lockfile]
            version = _field(files, package, name) or _version_of(files, lockfile)
            found = Manager(name, version, lockfile, directory, lockfile)
            return replace(found, plug_n_play=found.is_berry and not files.find(".yarnrc.yml", _LINKER))
    return _without_lockfile(repository.at(workspace), workspace, package)


def has_member(files: Files, directory: str, project: str) -> bool:
    """Whether the package.json or pnpm-workspace.yaml in `directory` makes `project` a member of its workspace."""
    return _is_member(_patterns(files), posixpath.relpath(project, directory or "."))


def members(repository: Files, directory: str) -> list[str]:
    """The projects that an install in `directory` is for beside its own: those of its workspace, if it is one."""
    files = repository.at(directory)
    patterns = _patterns(files)
    folders = sorted(posixpath.dirname(path) for path in files if path.endswith("/package.json"))
    return [posixpath.join(directory, folder) for folder in folders if _is_member(patterns, folder)]


def _is_member(patterns: Sequence[str], folder: str) -> bool:
    clean = [pattern.removeprefix("./").rstrip("/") for pattern in patterns]
    return any(_matches(folder, p) for p in clean if not p.startswith("!")) and not any(
        _matches(folder, p[1:].removeprefix("./")) for p in clean if p.startswith("!")
    )


def _patterns(files: Files) -> list[str]:
    if (text := files.text("pnpm-workspace.yaml")) is not None:
        return _yaml_list(text, "packages")
    if "package.json" not in files:
        return []
    workspaces = read_package(files).raw.get("workspaces")
    packages = workspaces.get("packages") if isinstance(workspaces, dict) else workspaces
    return [p for p in packages if isinstance(p, str)] if isinstance(packages, list) else []


def _yaml_list(text: str, key: str) -> list[str]:
    """The items of a block list at the top level; pnpm writes no other kind."""
    lines = iter(text.splitlines())
    for line in lines:
        if line.partition("#")[0].rstrip() == f"{key}:":
            break
    items: list[str] = []
    for line in lines:
        content = line.strip()
        if content and not content.startswith(("-", "#")):
            break
        if match := re.match(r"""-\s*(?:'([^']+)'|"([^"]+)"|([^\s#'"]+))""", content):
            items.append(match[1] or match[2] or match[3])
    return items


def _matches(path: str, pattern: str) -> bool:
    """Globs as npm has them: `*` within a segment, `**` for any number of them."""
    if "**" in pattern:
        return fnmatch.fnmatchcase(path, pattern.replace("/**", "*").replace("**", "*"))
    parts, wanted = path.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatch.fnmatchcase, parts, wanted))


def _up(project: str) -> Iterator[str]:
    while project:
        yield project
        project = posixpath.dirname(project)
    yield ""


def _lockfile(files: Files) -> str | None:
    if "yarn.lock" in files and (bun := files.first(("bun.lock", "bun.lockb"))):
        return bun  # bun can write a yarn.lock beside its own
    return files.first(_PRECEDENCE)


def _without_lockfile(files: Files, directory: str, package: Package) -> Manager:
    for declared in (package.raw, read_package(files).raw if directory or not package.exists else {}):
        if match := _FIELD.match(str(declared.get("packageManager", ""))):
            return Manager(match[1], _version(match), None, directory, "package.json")
    name = "pnpm" if "pnpm-workspace.yaml" in files else "npm"
    return Manager(name, None if name == "npm" else "10", None, directory, "default")


def _field(files: Files, package: Package, name: str) -> str | None:
    """The version that package.json names, the project's before the workspace's."""
    for declared in (package.raw, read_package(files).raw):
        if (match := _FIELD.match(str(declared.get("packageManager", "")))) and match[1] == name:
            return _version(match)
    return None


def _version(field: re.Match[str]) -> str:
    return ".".join(field[3].split(".")[: _KEPT[field[2]]])


def _version_of(files: Files, lockfile: str) -> str | None:
    """The version that reads this lockfile; None for any."""
    if lockfile == "pnpm-lock.yaml":
        major = files.find(lockfile, r"""^lockfileVersion:\s*['"]?(\d+)""")
        return _PNPM_OF_LOCKFILE.get(major or "", "10")
    if lockfile == "yarn.lock":
        metadata = files.find(lockfile, r"^__metadata:\s*\n\s+version:\s*(\d+)")
        return "1" if metadata is None else "3" if int(metadata) < 8 else "4"
    return None
