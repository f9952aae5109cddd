"""Submodules, without `git submodule`: nothing that .gitmodules says becomes an option, a path or a command of git's.

Each is one more checkout, of the commit that the repository names, from an address that passes the rules of any
project's. The project's credentials answer to its own host alone.
"""

import asyncio
import os
from collections.abc import AsyncIterator

from scalemesh.artifacts import beneath
from scalemesh.buildserver.execution import Executor
from scalemesh.buildserver.shipper import Shipper
from scalemesh.buildserver.steps.checkout import Checkout, guard
from scalemesh.buildserver.tree import Tree
from scalemesh.core.build import BuildSpec, Credentials
from scalemesh.core.git_url import GitUrl
from scalemesh.core.submodules import Submodule, parse, resolve
from scalemesh.errors import BuildFailed, InfrastructureFault, InvalidInput

MAX_DEPTH = 5  # of submodules within submodules
MAX_COUNT = 100
_MAX_BYTES = 24 * 1024  # of one .gitmodules; a command's output is kept whole up to failures.TAIL_BYTES
_FILE = ".gitmodules"
_LIST = ("config", "--file", _FILE, "--no-includes", "-z", "--get-regexp", r"^submodule\..*\.(path|url|update)$")


class Submodules:
    """Of one build."""

    def __init__(self, executor: Executor, shipper: Shipper, spec: BuildSpec) -> None:
        self._executor = executor
        self._shipper = shipper
        self._spec = spec
        self._left = MAX_COUNT

    async def of(self, parent: Checkout, depth: int = 1) -> AsyncIterator[Checkout]:
        """Each in its place, those within it after it. Raises BuildFailed that names the one, or InfrastructureFault.

        Where git has a submodule and .gitmodules does not, its folder stays empty, as it is after a plain clone.
        """
        for found in await self._listed(parent):
            self._left -= 1
            if depth > MAX_DEPTH or self._left < 0:
                raise _bad(found, f"there are more than {MAX_COUNT}, or they lie {MAX_DEPTH} deep in each other")
            checkout = await self._checkout(parent, found)
            yield checkout
            async for below in self.of(checkout, depth + 1):
                yield below

    async def _listed(self, parent: Checkout) -> list[Submodule]:
        text = await asyncio.to_thread(_read, parent)
        if not text:
            return []
        if len(text) > _MAX_BYTES:
            raise BuildFailed(f"{_FILE} is larger than {_MAX_BYTES} bytes.", code="submodule_invalid")
        found = []
        for made in parse(await parent.git(*_LIST, may_fail=True)):
            listed = await parent.git("ls-tree", "-z", "HEAD", "--", made.path, may_fail=True)
            mode, kind, commit = (listed.partition("\t")[0].split() or ["", "", ""])[:3]
            if (mode, kind) == ("160000", "commit"):
                found.append(made.at(commit))
        return found

    async def _checkout(self, parent: Checkout, found: Submodule) -> Checkout:
        url = self._url(parent, found)
        await self._shipper.line(f"Cloning submodule {found.path}: {url.text} ({found.commit[:12]})", step="clone")
        folder = parent.folder / found.path
        await asyncio.to_thread(self._check_folder, folder.relative_to(self._executor.runner.workspace).as_posix())
        own = url.origin == parent.url.origin
        credentials = parent.credentials if own else Credentials()
        allowed = guard(url, self._spec.egress_allow, allow_private=self._spec.git_allow_private)
        try:
            checkout = Checkout(self._executor, url, credentials, allowed, folder)
            await checkout.run(found.commit)
        except (BuildFailed, InfrastructureFault) as error:
            raise type(error)(f"Submodule {found.path!r}: {error.message}", code=error.code, hint=error.hint) from error
        return checkout

    def _url(self, parent: Checkout, found: Submodule) -> GitUrl:
        try:
            allow_private = self._spec.git_allow_private
            url = GitUrl.parse(resolve(parent.url.text, found.url), allow_private=allow_private)
            if url.transport != "ssh" or url.origin == parent.url.origin:
                return url
            # An ssh server wants a key that it knows; what is public can be had without one.
            return GitUrl.parse(url.over_https, allow_private=allow_private)
        except InvalidInput as error:
            raise _bad(found, error.message) from error

    def _check_folder(self, relative: str) -> None:
        """There, made by git's checkout, and not behind a link."""
        os.close(beneath.open_folder(self._executor.runner.workspace, relative))


def _read(parent: Checkout) -> bytes | None:
    with Tree(parent.folder) as tree:
        return tree.read(_FILE)


def _bad(found: Submodule, why: str) -> BuildFailed:
    return BuildFailed(
        f"Submodule {found.path!r}: {why}",
        code="submodule_invalid",
        hint=f"Correct {_FILE}: builds fetch submodules over https, or over ssh from the project's own host.",
    )
