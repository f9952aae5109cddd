"""One commit of one repository in one folder of the workspace: by git in the sandbox, with credentials of its own."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from scalemesh.buildserver.execution import Ended, Executor
from scalemesh.core import git
from scalemesh.core.build import Credentials
from scalemesh.core.git_failure import explain
from scalemesh.core.git_url import GitUrl
from scalemesh.egress.guard import Guard
from scalemesh.errors import BuildFailed, InfrastructureFault, InvalidInput
from scalemesh.sandbox.step import Mount

_FOLDER = ".scalemesh-clone"
_NO_COMMITS_BY_NAME = ("not our ref", "unadvertised object", "dumb http transport", "want ")
HISTORY = 10  # commits that an ignore command may look at, as many as at Vercel's


class Checkout:
    """`run` once. Every call raises BuildFailed when these credentials cannot be enough, or InfrastructureFault."""

    def __init__(self, executor: Executor, url: GitUrl, credentials: Credentials, guard: Guard, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self.credentials = credentials
        self.guard = guard
        self._executor = executor
        self._private = executor.runner.directory / "home" / _FOLDER
        self._access = _access(url, credentials, executor.runner.view(self._private))
        # A repository on this machine (the demo's) is read in place; the backend has made it reachable.
        local = Path(git.repository_path(url)) if url.transport == "file" else None
        self._mounts = (Mount(local, str(local)),) if local else ()
        self._cwd = executor.runner.view(folder)

    async def run(self, commit: str, ref: str | None = None) -> None:
        """By commit; where the server gives no commit out by its name, by ref, whole."""
        with self._files():
            await self.git(*git.init()[1:])
            ended = await self._try(*git.fetch(self.url, commit), network=True)
            if not ended.result.ok and any(sign in ended.tail for sign in _NO_COMMITS_BY_NAME):
                refs = [ref] if ref else ["+refs/heads/*:refs/remotes/origin/*"]
                whole = ("git", "fetch", "--quiet", "--no-tags", "--", self.url.text, *refs)
                ended = await self._try(*whole, network=True)
            if not ended.result.ok:
                raise self._failed(ended)
            await self.git("checkout", "--quiet", "--detach", commit)

    async def deepen(self, commit: str, other: str) -> None:
        """History of `commit`, and `other` (if any) too; as far as the server has them."""
        with self._files():
            for wanted in ([commit, other], [commit]) if other else ([commit],):
                argv = ("git", "fetch", "--quiet", f"--depth={HISTORY}", "--no-tags", "--", self.url.text, *wanted)
                if (await self._try(*argv, network=True, show=False)).result.ok:
                    return

    async def git(self, *args: str, may_fail: bool = False) -> str:
        """What it printed, at most its last TAIL_BYTES; without network. '' where it failed and may."""
        with self._files():
            ended = await self._try("git", *args, network=False, show=False)
        if not ended.result.ok and not may_fail:
            raise self._failed(ended)
        return ended.tail if ended.result.ok else ""

    async def _try(self, *argv: str, network: bool, show: bool = True) -> Ended:
        return await self._executor.run(
            "clone",
            argv,
            cwd=self._cwd,
            env={**self._access.environment(), "GIT_LITERAL_PATHSPECS": "1"},
            egress=self.guard if network else None,
            mounts=self._mounts if network else (),
            show=show,
        )

    @contextlib.contextmanager
    def _files(self) -> Iterator[None]:
        """git's whole configuration, and the credentials, which it gives to the repository's own host alone."""
        if self._private.exists():
            yield
            return
        self._private.mkdir(mode=0o700)
        try:
            for name, text in self._access.files().items():
                (self._private / name).touch(mode=0o600)
                (self._private / name).write_text(text)
            yield
        finally:
            shutil.rmtree(self._private)

    def _failed(self, ended: Ended) -> BuildFailed | InfrastructureFault:
        failure = explain(self.url.text, ended.tail, next(iter(ended.denied), None))
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
