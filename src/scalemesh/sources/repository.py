"""One repository, asked through git in a sandbox session: the worker's side of Sources."""

import os
from collections.abc import Callable
from pathlib import Path

from scalemesh.artifacts import beneath
from scalemesh.core import git
from scalemesh.core.build import BuildSettings, Plan
from scalemesh.core.git_failure import explain
from scalemesh.core.git_url import GitUrl
from scalemesh.egress.guard import Guard
from scalemesh.errors import BuildFailed, InvalidInput
from scalemesh.frameworks import detect
from scalemesh.sandbox.session import Session
from scalemesh.sandbox.step import Mount, StepCommand
from scalemesh.sources.documents import Ask, Peek, Resolved

_MAX_OUTPUT_BYTES = 8 * 1024**2
_MAX_FILES = 100_000
_MAX_READ_BYTES = 1024**2
_ROUNDS = 8
_PRIVATE = ".scalemesh-git"


class Repository:
    """Opened over a session whose workspace is empty; `denied` answers what the guard has refused so far."""

    def __init__(self, session: Session, ask: Ask, denied: Callable[[], str | None]) -> None:
        self._session = session
        self._ask = ask
        self._denied = denied
        self._url = GitUrl.parse(ask.url, ask.transports, allow_private=ask.allow_private)
        self._private = session.directory / "home" / _PRIVATE
        self._access = git.GitAccess.of(self._url, ask.credentials, session.view(self._private))
        self._guard = Guard(ask.egress_allow, allow_private=ask.allow_private, ports=(self._url.port or 443,))

    def write_files(self) -> None:
        self._private.mkdir(mode=0o700)
        for name, text in self._access.files().items():
            (self._private / name).touch(mode=0o600)
            (self._private / name).write_text(text)

    async def resolve(self) -> Resolved:
        """Raises InvalidInput: branch_not_found, repository_empty, or what `explain` says."""
        ref = self._ask.ref
        if ref is None:
            return await self._default()
        if git.is_commit(ref):
            await self._git("init", "--quiet", "--template=", ".")
            await self._git(*git.fetch(self._url, ref.lower(), trees=False)[1:], network=True)
            return Resolved(commit=ref.lower(), ref=None)
        return await self._named(git.check_ref(ref))

    async def peek(self, settings: BuildSettings) -> Peek:
        """Raises InvalidInput; a repository that cannot be built is no error here."""
        found = await self.resolve()
        await self._git("init", "--quiet", "--template=", ".")
        await self._git(*git.fetch(self._url, found.commit, blobs=False)[1:], network=True)
        shown = await self._git("log", "-1", "--format=%an%n%B", "FETCH_HEAD")
        listed = await self._git("ls-tree", "-r", "-z", "FETCH_HEAD")
        author, _, message = shown.partition("\n")
        files = _regular_files(listed)[:_MAX_FILES]
        plan, problem = await self._plan(files, settings)
        return Peek(
            commit=found.commit,
            ref=found.ref,
            message=message.strip(),
            author=author,
            files=files[:1000],
            plan=plan,
            problem=problem,
        )

    async def _default(self) -> Resolved:
        listed = await self._remote("--symref", "HEAD")
        ref = next((line.split()[1] for line in listed if line.startswith("ref: ")), None)
        commit = next((line.split()[0] for line in listed if line.endswith("\tHEAD") and line[0] != "r"), None)
        if commit is None:
            if await self._remote("--heads"):
                raise self._refused("branch_not_found", "its default branch has no commit", "Name a branch.")
            raise self._refused("repository_empty", "the repository is empty", "Push a commit first.")
        return Resolved(commit=commit, ref=git.check_ref(ref.removeprefix("refs/heads/")) if ref else None)

    async def _named(self, ref: str) -> Resolved:
        """Branch before tag, as git does it; an annotated tag stands for its commit."""
        full = (ref,) if ref.startswith("refs/") else (f"refs/heads/{ref}", f"refs/tags/{ref}")
        wanted = [name + suffix for name in full for suffix in ("^{}", "")]
        found = (line.partition("\t") for line in await self._remote(*wanted))
        listed = {name: commit for commit, _, name in found}
        for name in wanted:
            if name in listed:
                return Resolved(commit=listed[name], ref=ref)
        if not await self._remote("--heads"):
            raise self._refused("repository_empty", "the repository is empty", "Push a commit first.")
        raise self._refused(
            "branch_not_found",
            f"there is no branch or tag {ref!r}",
            "Is it pushed? A commit needs its full hash.",
            field="ref",
        )

    async def _remote(self, *args: str) -> list[str]:
        options = [arg for arg in args if arg.startswith("--")]
        patterns = [arg for arg in args if not arg.startswith("--")]
        text = await self._git("ls-remote", *options, "--", self._url.text, *patterns, network=True)
        return text.splitlines()

    async def _plan(self, files: list[str], settings: BuildSettings) -> tuple[Plan | None, str | None]:
        """Detection asks for files as it goes; each round has git get what the one before has missed."""
        known, have = set(files), set[str]()
        for _ in range(_ROUNDS):
            missed: set[str] = set()
            plan, problem = self._detect(files, settings, have, missed)
            if not (missed := (missed & known) - have):
                break
            have |= missed
            await self._git("checkout", "--quiet", "FETCH_HEAD", "--", *sorted(missed), network=True, may_fail=True)
        return plan, problem

    def _detect(
        self, files: list[str], settings: BuildSettings, have: set[str], missed: set[str]
    ) -> tuple[Plan | None, str | None]:
        def read(path: str) -> bytes | None:
            if path not in have:
                missed.add(path)
                return None
            return _read(self._session.workspace, path)

        try:
            return detect(files, read, settings), None
        except BuildFailed as error:
            return None, f"{error.message} {error.hint or ''}".strip()

    async def _git(self, *args: str, network: bool = False, may_fail: bool = False) -> str:
        """stdout. Raises InvalidInput that explains what git said."""
        out, err = bytearray(), bytearray()

        async def keep(stream: str, data: bytes) -> None:
            kept = out if stream == "stdout" else err
            if len(kept) + len(data) > _MAX_OUTPUT_BYTES:
                raise self._refused("repository_too_large", "it has too many refs or files", "Ask for a smaller one.")
            kept.extend(data)

        local = self._url.path if self._url.transport == "file" else None
        step = StepCommand(
            ("git", *args),
            cwd=self._session.view(self._session.workspace),
            timeout_s=self._ask.deadline_s,
            env={**self._access.environment(), "GIT_LITERAL_PATHSPECS": "1"},
            mounts=(Mount(Path(local), local),) if local else (),
            egress=self._guard if network else None,
        )
        result = await self._session.run(step, keep)
        if not result.ok and not may_fail:
            failure = explain(self._url.text, err.decode(errors="replace"), self._denied())
            raise InvalidInput(failure.message, code=failure.code, hint=failure.hint, field="git_url")
        return out.decode(errors="replace")

    def _refused(self, code: str, what: str, hint: str, field: str = "git_url") -> InvalidInput:
        return InvalidInput(f"{self._url.text}: {what}.", code=code, hint=hint, field=field)


def _regular_files(listed: str) -> list[str]:
    """Paths of `git ls-tree -r -z`, without links and submodules: a build's listing has neither."""
    entries = (entry.partition("\t") for entry in listed.split("\0"))
    return [path for facts, _, path in entries if facts.startswith("100")]


def _read(workspace: Path, path: str) -> bytes | None:
    root = beneath.open_folder(workspace)
    try:
        with os.fdopen(beneath.open_file(root, path), "rb") as file:
            return file.read(_MAX_READ_BYTES)
    except (OSError, BuildFailed):
        return None  # not checked out: detection treats it as absent
    finally:
        os.close(root)
