"""`--demo`: the packaged example, from a repository of the platform's own through the whole path."""

import asyncio
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

import structlog

from scalemesh.accounts import Actor
from scalemesh.core.state import TERMINAL, State
from scalemesh.deployments import DeploymentView, NewDeployment
from scalemesh.errors import Conflict, InfrastructureFault, ScaleMeshError
from scalemesh.main.platform import Platform, repositories
from scalemesh.projects import ProjectView

NAME = "demo"
_BRANCH = "main"
_BUILD_S = 300.0
_GIT_S = 20.0
# Fixed, so that the same files are always the same commit.
_IDENTITY = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in {"NAME": "Scale Mesh", "EMAIL": "demo@localhost", "DATE": "1767225600 +0000"}.items()
}

log = structlog.get_logger(__name__)


async def deploy_demo(platform: Platform, on_done: Callable[[str | None], None]) -> None:
    """Deploys the example unless it is live already; `on_done` is told its URL, or None when it failed."""
    try:
        repository = repositories(platform.settings) / f"{NAME}.git"
        commit = await asyncio.to_thread(_commit, repository)
        actor = await platform.accounts.ensure_team(NAME, "Demo")
        project = await _project(platform, actor, repository)
        if await _live_commit(platform, actor, project) != commit:
            await _deploy(platform, actor, project)
    except ScaleMeshError as error:
        log.error("demo failed", code=error.code, detail=error.message)  # noqa: TRY400  the message is the whole story
        on_done(None)
    else:
        on_done(project.production_url)


async def _project(platform: Platform, actor: Actor, repository: Path) -> ProjectView:
    try:
        return await platform.projects.create_internal(actor, NAME, repository.as_uri())
    except Conflict:  # an earlier start has made it
        return await platform.projects.get(actor, NAME)


async def _live_commit(platform: Platform, actor: Actor, project: ProjectView) -> str | None:
    if project.production_deployment is None:
        return None
    live = await platform.deployments.get(actor, project.production_deployment)
    return live.commit.sha if live.commit else None


async def _deploy(platform: Platform, actor: Actor, project: ProjectView) -> None:
    started = await platform.deployments.create(actor, project.id, NewDeployment(target="production"))
    ended = await _ended(platform, actor, started)
    if ended.state != State.READY:
        reason = ended.error.message if ended.error else ended.state
        raise InfrastructureFault(f"{ended.id}: {reason}", code=ended.error.code if ended.error else "")


async def _ended(platform: Platform, actor: Actor, view: DeploymentView) -> DeploymentView:
    deadline = time.monotonic() + _BUILD_S
    with platform.wakeup.listen(f"deployment:{view.id}") as listener:
        while view.state not in TERMINAL:
            if time.monotonic() > deadline:
                raise InfrastructureFault(f"{view.id} did not end within {_BUILD_S:.0f} s.", code="timeout")
            await listener.wait(0.5)
            view = await platform.deployments.get(actor, view.id)
    return view


def _commit(repository: Path) -> str:
    """The example as the one commit of a bare repository; made by plumbing, without a working copy."""
    if not (repository / "HEAD").exists():
        repository.mkdir(parents=True, exist_ok=True)
        _git(repository, "init", "--quiet", "--bare", f"--initial-branch={_BRANCH}", ".")
    index = {"GIT_INDEX_FILE": str(repository / "demo.index")}
    _git(repository, "read-tree", "--empty", env=index)
    for path, content in _files(resources.files("scalemesh") / "demo").items():
        blob = _git(repository, "hash-object", "-w", "--stdin", stdin=content)
        _git(repository, "update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", env=index)
    tree = _git(repository, "write-tree", env=index)
    commit = _git(repository, "commit-tree", tree, "-m", "Hello from Scale Mesh", env=_IDENTITY)
    _git(repository, "update-ref", f"refs/heads/{_BRANCH}", commit)
    return commit


def _files(folder: Traversable, prefix: str = "") -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for entry in sorted(folder.iterdir(), key=lambda each: each.name):
        path = f"{prefix}{entry.name}"
        found |= _files(entry, f"{path}/") if entry.is_dir() else {path: entry.read_bytes()}
    return found


def _git(repository: Path, *args: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> str:
    own = {"PATH": os.environ.get("PATH", os.defpath), "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    try:
        done = subprocess.run(
            ["git", *args],
            cwd=repository,
            env={**own, **(env or {})},
            input=stdin,
            capture_output=True,
            timeout=_GIT_S,
            check=True,
        )
    except FileNotFoundError as error:
        raise InfrastructureFault("git is not installed.", code="no_git", hint="Install git.") from error
    except subprocess.CalledProcessError as error:
        reason = error.stderr.decode(errors="replace").strip()
        raise InfrastructureFault(f"git {args[0]}: {reason}", code="git_failed") from error
    return done.stdout.decode().strip()
