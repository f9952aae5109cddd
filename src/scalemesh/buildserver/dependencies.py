"""Which folders hold a project's installed dependencies, and what those depend on: the key of their cache."""

import hashlib
import json
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scalemesh.buildserver.toolchains import Toolchain
from scalemesh.buildserver.tree import Tree
from scalemesh.core.build import Plan
from scalemesh.errors import BuildFailed
from scalemesh.frameworks import managers, python
from scalemesh.frameworks.files import Files, Package, read_package

VENV = "home/venv"
_KEYED = (*managers.LOCKFILES, "package.json", ".npmrc", ".yarnrc", ".yarnrc.yml", "bunfig.toml", ".pnpmfile.cjs",
          "pnpm-workspace.yaml")  # fmt: skip
_KEYED_PYTHON = ("uv.lock", "uv.toml", "pyproject.toml", ".python-version", *python.REQUIREMENTS)
_PYTHONS = ("/usr/local/bin/python3", "/usr/bin/python3")
_PINNED = re.compile(r"[\w.\[\],-]+\s*==[^*]+|--hash=\S+")
_OF_INSTALL = frozenset({"preinstall", "install", "postinstall", "preprepare", "prepare", "postprepare"})
# Folders of the repository that the install copies from, with no hash of theirs in the lockfile.
_COPIED = {"uv.lock": r"source = \{ (?:editable|directory) =", "pnpm-lock.yaml": r"type: directory"}
_COPIED_BY_OTHERS = r"@file:"


@dataclass(frozen=True)
class Dependencies:
    """`folders`, relative to the build's directory, none in another; `key` None where the install has to run."""

    installed_in: str
    folders: tuple[str, ...]
    key: str | None


def of(workspace: Path, plan: Plan, env: Mapping[str, str], toolchains: Sequence[Toolchain]) -> Dependencies:
    """Before the install. `env`: the project's own variables."""
    with Tree(workspace) as tree:
        repository = Files(tree.listing({".git", "node_modules"}), tree.read)
        try:
            package = read_package(repository.at(plan.root_directory))
            directory = _installed_in(repository, plan.root_directory, package)
            projects = [directory, *managers.members(repository, directory)]
            is_reusable = _is_reusable(repository, plan, directory, projects)
        except BuildFailed:  # a member's package.json that is none: the install says so
            return Dependencies(plan.root_directory, (), None)
        facts = [plan.install_command, plan.root_directory, plan.node_version, sorted(env.items())]
        facts += [sorted((t.name, t.version) for t in toolchains)]
        facts += [str(Path(python3).resolve()) for python3 in _PYTHONS]  # a virtual environment links to one of them
        key = _key(tree, _manifests(plan, projects), facts) if is_reusable else None
    folders = [posixpath.normpath(f"workspace/{project}/node_modules") for project in projects]
    return Dependencies(directory, (*folders, VENV), key)


def _installed_in(repository: Files, root: str, package: Package) -> str:
    return managers.find(repository, root, package).directory if package.exists else root


def _is_reusable(repository: Files, plan: Plan, directory: str, projects: Sequence[str]) -> bool:
    """Where a lockfile says all, and the install does nothing to the repository itself."""
    source, root = plan.sources.get("install_command", ""), repository.at(plan.root_directory)
    is_python = plan.package_manager == python.MANAGER
    if is_python and source in python.REQUIREMENTS:
        return all(_is_pinned(root.text(name)) for name in python.REQUIREMENTS)
    if source not in ({"uv.lock"} if is_python else managers.LOCKFILES):
        return False
    lock = (root if is_python else repository.at(directory)).text(source)
    if not lock or re.search(_COPIED.get(source, _COPIED_BY_OTHERS), lock):
        return False
    packages = {project: read_package(repository.at(project)) for project in projects}
    return not any(
        _OF_INSTALL & set(package.scripts) or (project != directory and "bin" in package.raw)  # made executable
        for project, package in packages.items()
    )


def _is_pinned(text: str | None) -> bool:
    """Whether every line of a requirements file names one version."""
    lines = (
        line.partition("#")[0].partition(";")[0].strip().rstrip("\\").strip() for line in (text or "").splitlines()
    )
    return all(_PINNED.fullmatch(line.split(" --hash")[0].strip()) for line in lines if line)


def _manifests(plan: Plan, projects: Sequence[str]) -> Iterator[str]:
    yield from (posixpath.join(project, name) for project in projects for name in _KEYED)
    yield from (posixpath.join(plan.root_directory, name) for name in _KEYED_PYTHON)


def _key(tree: Tree, names: Iterator[str], facts: Sequence[object]) -> str:
    digest = hashlib.sha256(json.dumps(facts).encode())
    for name in names:
        digest.update(name.encode() + b"\0" + tree.digest(name))
    return f"tree-{digest.hexdigest()[:40]}"
