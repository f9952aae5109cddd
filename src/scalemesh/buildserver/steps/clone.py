"""The exact commit, shallow, with its submodules and what Git LFS keeps of it."""

from typing import NamedTuple

from scalemesh.buildserver.execution import Executor
from scalemesh.buildserver.shipper import Shipper
from scalemesh.buildserver.steps.checkout import Checkout, guard
from scalemesh.buildserver.steps.lfs import Lfs
from scalemesh.buildserver.steps.submodules import Submodules
from scalemesh.core.build import BuildSpec, Credentials, GitSource
from scalemesh.core.git_url import DEFAULT_PORTS, GitUrl

# What is kept of an output is its end: no message is so long that its commit says what this one is.
_FORMAT = "--format=%B%n%an%n%H%n%T"


class Commit(NamedTuple):
    """What was checked out."""

    sha: str
    tree: str
    author: str
    message: str


class Clone:
    """One repository, whole, into the runner's workspace. Raises BuildFailed or InfrastructureFault."""

    def __init__(
        self, executor: Executor, shipper: Shipper, spec: BuildSpec, source: GitSource, credentials: Credentials
    ) -> None:
        self._executor = executor
        self._shipper = shipper
        self._spec = spec
        self._source = source
        # Which transports and addresses are allowed was decided when the project was made, and is the guard's business.
        url = GitUrl.parse(source.url, DEFAULT_PORTS, allow_private=True)
        allowed = guard(url, spec.egress_allow, allow_private=spec.git_allow_private)
        self._top = Checkout(executor, url, credentials, allowed, executor.runner.workspace)

    async def run(self) -> Commit:
        await self._top.run(self._source.commit, self._source.ref)
        shown = await self._top.git("log", "-1", _FORMAT, self._source.commit)
        lfs = Lfs(self._shipper, self._spec.limits)
        await lfs.fetch(self._top)
        async for below in Submodules(self._executor, self._shipper, self._spec).of(self._top):
            await lfs.fetch(below)
        said, sha, tree = shown.rstrip("\n").rsplit("\n", 2)
        message, _, author = said.rpartition("\n")
        return Commit(sha, tree, author, message.strip())

    async def deepen(self) -> None:
        """Some history, and the commit of the deployment before, for commands that compare."""
        await self._top.deepen(self._source.commit, self._spec.previous_commit)

    def netlify_variables(self) -> dict[str, str]:
        """What Netlify's ignore commands compare; Vercel's names are in every step's environment."""
        commit, branch = self._source.commit, self._source.ref or ""
        cached = self._spec.previous_commit or commit
        return {"COMMIT_REF": commit, "CACHED_COMMIT_REF": cached, "HEAD": branch, "BRANCH": branch}
