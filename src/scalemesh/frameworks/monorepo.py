"""Task runners of a workspace: the commands that Vercel gives a project below a turbo.json or nx.json.

Source: packages/fs-detectors/src/monorepos. A runner that has no task called build is left alone.
"""

import json
import posixpath
import re

from scalemesh.frameworks.files import Files, read_package
from scalemesh.frameworks.managers import Manager

_TURBO_BUILD = r'"(?:[^"#]+#)?build"\s*:'
_NX_DEFAULT = r'"targetDefaults"\s*:\s*\{[\s\S]*"build"\s*:'
_BEFORE_INFERENCE = re.compile(r"[\^~]?(?:0|1\.[0-7])(?:\.|$)")  # of the package from the folder: 1.8 and later


def build(repository: Files, root: str, manager: Manager, *, has_script: bool) -> tuple[str, str] | None:
    """(command, the file that it comes from) for the project in `root`, where its workspace has a runner.

    `has_script`: its package.json has a script called build.
    """
    workspace = repository.at(manager.directory)
    used = read_package(workspace).dependencies
    if root == manager.directory:
        return None
    up = posixpath.relpath(manager.directory or ".", root)
    if has_script and "turbo" in used and workspace.contains("turbo.json", _TURBO_BUILD):
        turbo = f"{manager.top_level('turbo')} run build"
        if _BEFORE_INFERENCE.match(used["turbo"]):
            folder = posixpath.relpath(root, manager.directory or ".")
            turbo = f"cd {up} && {turbo} --filter={{{folder}}}..."
        return turbo, "turbo.json"
    if "nx" in used and "nx.json" in workspace and _is_target(workspace, repository.at(root), has_script=has_script):
        return f"cd {up} && {manager.execute('nx')} build {_nx_name(repository.at(root), root)}", "nx.json"
    return None


def _is_target(workspace: Files, project: Files, *, has_script: bool) -> bool:
    nx = read_package(project).raw.get("nx")
    targets = nx.get("targets") if isinstance(nx, dict) else None
    return (
        (has_script and workspace.contains("nx.json", _NX_DEFAULT))
        or project.contains("project.json", r'"targets"\s*:\s*\{[\s\S]*"build"\s*:')
        or (isinstance(targets, dict) and "build" in targets)
    )


def _nx_name(project: Files, root: str) -> str:
    """As Nx names it: project.json, then package.json, then the folder."""
    try:
        named = json.loads(project.text("project.json") or "{}").get("name")
    except (ValueError, AttributeError, RecursionError):
        named = None  # Nx will say so, with its own words
    name = named or read_package(project).raw.get("name")
    return name if isinstance(name, str) and re.fullmatch(r"[@\w./-]+", name) else posixpath.basename(root)
