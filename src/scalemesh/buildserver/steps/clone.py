"""The exact commit, shallow, by git in the sandbox, with credentials that no later step sees."""

import shutil
from pathlib import Path

from scalemesh.buildserver.execution import Ended, Executor
from scalemesh.core import git
from scalemesh.core.build import BuildSpec, Credentials, GitSource
from scalemesh.core.git_failure import explain
from scalemesh.core.git_url import DEFAULT_PORTS, GitUrl
from scalemesh.egress.guard import Guard
from scalemesh.errors import BuildFailed, InfrastructureFault, InvalidInput
from scalemesh.sandbox.step import Mount

_FORMAT = "--format=%H%n%T%n%an%n%B"
_FOLDER = ".scalemesh-clone"
_NO_COMMITS_BY_NAME = ("not our ref", "unadvertised object", "dumb http transport", "want ")


class Clone:
    """One checkout into the runner's workspace. Raises BuildFailed when these credentials cannot be enough."""

    def __init__(self, executor: Executor, spec: BuildSpec, source: GitSource, credentials: Credentials) -> None:
        self._executor = executor
        self._source = source
        # Which transports and addresses are allowed was decided when the project was made, and is the guard's business.
        self._url = GitUrl.parse(source.url, DEFAULT_PORTS, allow_private=True)
        self._guard = guard(self._url, spec.egress_allow, allow_private=spec.git_allow_private)
        self._private = executor.runner.directory / "home" / _FOLDER
        self._access = _access(self._url, credentials, executor.runner.view(self._private))
        # A repository on this machine (the demo's) is read in place; the backend has made it reachable.
        local = Path(git.repository_path(self._url)) if self._url.transport == "file" else None
        self._mounts = (Mount(local, str(local)),) if local else ()
        self._cwd = executor.runner.view(executor.runner.workspace)

    async def run(self) -> tuple[str, str, str, str]:
        """Commit, tree, author and message of what was checked out. Raises BuildFailed or InfrastructureFault."""
        self._write_private()
        try:
            await self._git(*git.init(), network=False)
            await self._fetch()
            await self._git("git", "checkout", "--quiet", "--detach", self._source.commit, network=False)
            shown = await self._git("git", "log", "-1", _FORMAT, self._source.commit, network=False, show=False)
        finally:
            shutil.rmtree(self._private)
        commit, tree, author, message = shown.tail.split("\n", 3)
        return commit, tree, author, message.strip()

    async def _fetch(self) -> None:
        """By commit; where the server gives no commit out by its name, by ref, whole."""
        ended = await self._try(*git.fetch(self._url, self._source.commit), network=True)
        if not ended.result.ok and any(sign in ended.tail for sign in _NO_COMMITS_BY_NAME):
            refs = [self._source.ref] if self._source.ref else ["+refs/heads/*:refs/remotes/origin/*"]
            ended = await self._try("git", "fetch", "--quiet", "--no-tags", "--", self._url.text, *refs, network=True)
        if not ended.result.ok:
            raise self._failed(ended)

    async def _git(self, *argv: str, network: bool, show: bool = True) -> Ended:
        ended = await self._try(*argv, network=network, show=show)
        if not ended.result.ok:
            raise self._failed(ended)
        return ended

    async def _try(self, *argv: str, network: bool, show: bool = True) -> Ended:
        return await self._executor.run(
            "clone",
            argv,
            cwd=self._cwd,
            env=self._access.environment(),
            egress=self._guard if network else None,
            mounts=self._mounts if network else (),
            show=show,
        )

    def _write_private(self) -> None:
        """git's whole configuration, and the credentials, which it gives to the repository's own host alone."""
        self._private.mkdir(mode=0o700)
        for name, text in self._access.files().items():
            (self._private / name).touch(mode=0o600)
            (self._private / name).write_text(text)

    def _failed(self, ended: Ended) -> BuildFailed | InfrastructureFault:
        failure = explain(self._url.text, ended.tail, next(iter(ended.denied), None))
        if failure.is_passing:
            return InfrastructureFault(failure.message, code=failure.code, hint=failure.hint)
        return BuildFailed(failure.message, code=failure.code, hint=failure.hint)


def guard(url: GitUrl, allow: list[str], *, allow_private: bool) -> Guard:
    """What a clone of `url` may reach; its port is open also where it is not a usual one."""
    return Guard(allow, allow_private=allow_private, ports=(url.port,) if url.port else ())


def _access(url: GitUrl, credentials: Credentials, view: str) -> git.GitAccess:
    try:
        return git.GitAccess.of(url, credentials, view)
    except InvalidInput as error:
        raise BuildFailed(error.message, code=error.code, hint=error.hint) from error
