"""The exact commit, shallow, by git in the sandbox, with credentials that no later step sees."""

import re
import shutil
from pathlib import Path
from urllib.parse import quote, urlsplit

from scalemesh.buildserver import failures
from scalemesh.buildserver.execution import Ended, Executor
from scalemesh.core.build import BuildSpec, Credentials, GitSource
from scalemesh.egress.guard import Guard
from scalemesh.errors import BuildFailed, InfrastructureFault
from scalemesh.sandbox.step import Mount

_SCP = re.compile(r"(?:[\w.-]+@)?(?P<host>[\w.-]+):(?!//)")
_FORMAT = "--format=%H%n%T%n%an%n%B"
_FOLDER = ".scalemesh-clone"


class Clone:
    """One checkout into the runner's workspace."""

    def __init__(self, executor: Executor, spec: BuildSpec, source: GitSource, credentials: Credentials) -> None:
        self._executor = executor
        self._source = source
        self._credentials = credentials
        self._limits = spec.limits
        self._guard = guard(source.url, spec.egress_allow, allow_private=spec.git_allow_private)
        self._private = executor.runner.directory / "home" / _FOLDER
        # A repository on this machine (the demo's) is read in place; the backend has made it reachable.
        local = Path(urlsplit(source.url).path) if source.url.startswith("file:") else None
        self._mounts = (Mount(local, str(local)),) if local else ()
        self._cwd = executor.runner.view(executor.runner.workspace)

    async def run(self) -> tuple[str, str, str, str]:
        """Commit, tree, author and message of what was checked out. Raises BuildFailed or InfrastructureFault."""
        _write_private(self._private, self._executor.runner.view(self._private), self._source.url, self._credentials)
        try:
            await self._git("init", "--quiet", "--initial-branch", "main", ".", network=False)
            await self._fetch()
            await self._git("checkout", "--quiet", "--detach", self._source.commit, network=False)
            shown = await self._git("log", "-1", _FORMAT, self._source.commit, network=False, show=False)
        finally:
            shutil.rmtree(self._private)
        commit, tree, author, message = shown.tail.split("\n", 3)
        return commit, tree, author, message.strip()

    async def _fetch(self) -> None:
        """By commit; where the server gives no commit out by its name, by ref, whole."""
        url, commit = self._source.url, self._source.commit
        ended = await self._try("fetch", "--quiet", "--no-tags", "--depth", "1", "--", url, commit, network=True)
        if not ended.result.ok and _refuses_commits(ended.tail):
            refs = [self._source.ref] if self._source.ref else ["+refs/heads/*:refs/remotes/origin/*"]
            ended = await self._try("fetch", "--quiet", "--no-tags", "--", url, *refs, network=True)
        if not ended.result.ok:
            raise _explain(self._source, ended)

    async def _git(self, *args: str, network: bool, show: bool = True) -> Ended:
        ended = await self._try(*args, network=network, show=show)
        if not ended.result.ok:
            raise _explain(self._source, ended)
        return ended

    async def _try(self, *args: str, network: bool, show: bool = True) -> Ended:
        return await self._executor.run(
            "clone",
            ("git", *args),
            cwd=self._cwd,
            env=_environment(self._executor.runner.view(self._private)),
            egress=self._guard if network else None,
            mounts=self._mounts if network else (),
            show=show,
        )


def guard(url: str, allow: list[str], *, allow_private: bool) -> Guard:
    """What a clone of `url` may reach; its port is open also where it is not a usual one."""
    port = urlsplit(url).port if "://" in url else None
    return Guard(allow, allow_private=allow_private, ports=(port,) if port else ())


def _environment(private: str) -> dict[str, str]:
    ssh = f"ssh -F none -i {private}/key -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=yes"
    return {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": f"{private}/config",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_SSH_COMMAND": f"{ssh} -o UserKnownHostsFile={private}/known_hosts -o CheckHostIP=no",
    }


def _write_private(folder: Path, view: str, url: str, credentials: Credentials) -> None:
    """git's whole configuration, and the credentials, which it gives to the repository's own host alone."""
    folder.mkdir(mode=0o700)
    parsed = urlsplit(url)
    transport = parsed.scheme if "://" in url else "ssh"
    config = f"""
[protocol]
\tallow = never
[protocol "{transport}"]
\tallow = always
[core]
\thooksPath = /dev/null
\tsymlinks = true
[fetch]
\tfsckObjects = true
[http]
\tfollowRedirects = initial
\tlowSpeedLimit = 100
\tlowSpeedTime = 60
[submodule]
\trecurse = false
[safe]
\tdirectory = *
[advice]
\tdetachedHead = false
"""
    if credentials.password:
        config += f'[credential]\n\thelper = "store --file={view}/credentials"\n'
        user = quote(credentials.username or "git", safe="")
        netloc = parsed.netloc.rpartition("@")[2]
        line = f"{parsed.scheme}://{user}:{quote(credentials.password, safe='')}@{netloc}\n"
        _write(folder / "credentials", line)
    if credentials.deploy_key:
        _write(folder / "key", credentials.deploy_key.rstrip("\n") + "\n")
    _write(folder / "known_hosts", credentials.known_hosts or "")
    _write(folder / "config", config)


def _write(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def _refuses_commits(tail: str) -> bool:
    return any(sign in tail for sign in ("not our ref", "unadvertised object", "dumb http transport", "want "))


_AUTH = re.compile(
    r"Authentication failed|could not read (?:Username|Password)|[Rr]epository .*not found|returned error: 40[134]"
    r"|Permission denied|Could not read from remote repository"
)
_UNREACHABLE = re.compile(
    r"Could not resolve|Connection (?:refused|reset|timed out)|Failed to connect|unable to access|early EOF|hung up"
)


def _explain(source: GitSource, ended: Ended) -> BuildFailed | InfrastructureFault:
    """Why git failed, as far as what it says tells."""
    url, said = source.url, _last(ended.tail)
    if ended.denied:
        return BuildFailed(
            f"{url} cannot be cloned: {ended.denied[0].removeprefix('egress denied: ')}.",
            code="egress_denied",
            hint="Repositories at private addresses need SCALEMESH_GIT_ALLOW_PRIVATE=1 from the operator.",
        )
    if "Host key verification failed" in ended.tail:
        host = urlsplit(url).hostname or (match["host"] if (match := _SCP.match(url)) else url)
        hint = "Set the project's known_hosts to the output of `ssh-keyscan` for it."
        return BuildFailed(f"The ssh host key of {host} is not known.", code="host_key_unknown", hint=hint)
    if _refuses_commits(ended.tail) or "couldn't find remote ref" in ended.tail or "unable to read tree" in ended.tail:
        return BuildFailed(
            f"{url} has no commit {source.commit[:12]} any more.",
            code="commit_not_found",
            hint="Was the branch force-pushed? Deploy it again.",
        )
    if "not allowed" in ended.tail and "transport" in ended.tail:
        return BuildFailed(f"{url} uses a transport that is not allowed.", code="forbidden_transport", hint=said)
    if _AUTH.search(ended.tail):
        hint = "Make it public, or add the project's deploy key to it."
        return BuildFailed(f"{url} does not exist, or may not be read: {said}", code="repository_private", hint=hint)
    if _UNREACHABLE.search(ended.tail):
        return InfrastructureFault(f"{url} cannot be reached: {said}", code="repository_unreachable")
    return BuildFailed(f"git could not clone {url}: {said}", code="clone_failed", hint=failures.SEE_LOG)


def _last(tail: str) -> str:
    lines = [line.strip() for line in tail.splitlines() if line.strip()]
    wanted = [line for line in lines if line.startswith(("fatal:", "error:", "remote:"))] or lines
    return wanted[-1].removeprefix("fatal:").removeprefix("error:").strip() if wanted else "it does not say why"
