"""How git is run against a repository of a stranger's: files, environment and arguments, all of them made here.

Git never reads the host's configuration, runs a hook, asks a question, follows another transport than the allowed ones
or gives the credentials to another host than the repository's own. Names are resolved by the sandbox's egress guard, so
every hop of a redirect passes it. Pure: whoever runs git writes `files()` (0600) and removes them after the step.
"""

import re
import shlex
from collections.abc import Collection
from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote

from scalemesh.core.build import Credentials
from scalemesh.core.git_url import GitUrl
from scalemesh.errors import InvalidInput

# As their owners publish them, ed25519 alone; compared with the published fingerprints in the tests.
KNOWN_HOSTS = {
    "github.com": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl",
    "gitlab.com": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAfuCHKVTjquxvt6CM6tdG4SLp1Btn/nOeHHE5UOzRdf",
    "bitbucket.org": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIazEu89wgQZ4bqs3d63QSMzYVa0MuJ2e2gKTKqu+UUO",
}
DEFAULT_USERNAME = "x-access-token"
_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
# https://git-scm.com/docs/git-check-ref-format
_BAD_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(/|$)|^[./+-]|[./]$|^@$")

_CONFIG = """\
[safe]
	directory = *
[core]
	hooksPath = /dev/null
	fsmonitor = false
	protectNTFS = true
	protectHFS = true
[init]
	defaultBranch = main
	templateDir =
[transfer]
	fsckObjects = true
[fetch]
	recurseSubmodules = false
	showForcedUpdates = false
[submodule]
	recurse = false
[gc]
	auto = 0
[maintenance]
	auto = false
[advice]
	detachedHead = false
	fetchShowForcedUpdates = false
[http]
	followRedirects = initial
	lowSpeedLimit = 1
	lowSpeedTime = 30
[protocol]
	allow = never
	version = 2
"""


@dataclass(frozen=True)
class GitAccess:
    """One repository, what may be used to reach it, and where git sees the files: `directory`, private to it."""

    url: GitUrl
    directory: str
    deploy_key: str | None = None
    known_hosts: str | None = None
    username: str | None = None
    password: str | None = None

    @classmethod
    def of(cls, url: GitUrl, credentials: Credentials, directory: str) -> Self:
        """Raises InvalidInput where ssh lacks a deploy key or a host key, or a password cannot be one."""
        access = cls(
            url,
            directory,
            credentials.deploy_key,
            credentials.known_hosts,
            credentials.username,
            credentials.password,
        )
        _check_ssh(access)
        _check_password(access)
        return access

    def files(self) -> dict[str, str]:
        """Name → content. `config` is git's only configuration."""
        files = {"config": _CONFIG + "".join(f'[protocol "{name}"]\n\tallow = always\n' for name in self._transports())}
        if self.url.transport == "ssh":
            files["known_hosts"] = _known_hosts(self.url, self.known_hosts)
            files["key"] = (self.deploy_key or "").strip() + "\n"
        if self._has_password():
            show = shlex.quote(f"{self.directory}/login")
            files["config"] += f'[credential "{self.url.origin}"]\n\thelper = "!f() {{ cat {show}; }}; f"\n'
            files["login"] = f"username={self.username or DEFAULT_USERNAME}\npassword={self.password}\n"
        return files

    def environment(self) -> dict[str, str]:
        """All that git needs beyond PATH and HOME."""
        return {
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": f"{self.directory}/config",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_ALLOW_PROTOCOL": ":".join(sorted(self._transports())),
            "GIT_PROTOCOL_FROM_USER": "0",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "",
            "SSH_ASKPASS_REQUIRE": "never",
            "GIT_SSH_VARIANT": "ssh",
            "GIT_SSH_COMMAND": _ssh_command(self.directory),
            "GIT_LFS_SKIP_SMUDGE": "1",
            "GIT_OPTIONAL_LOCKS": "0",
            "LC_ALL": "C",
        }

    def _transports(self) -> Collection[str]:
        """A repository's own transport; plain http may also be redirected to https, never back."""
        return {self.url.transport, "https"} if self.url.transport == "http" else {self.url.transport}

    def _has_password(self) -> bool:
        return bool(self.password) and self.url.transport in {"https", "http"}


def init() -> tuple[str, ...]:
    """An empty repository in the working directory."""
    return ("git", "init", "--quiet", "--template=", ".")


def fetch(url: GitUrl, what: str, *, blobs: bool = True, trees: bool = True) -> tuple[str, ...]:
    """One commit without its history, as FETCH_HEAD. `what` is a commit (`check_commit`) or a ref (`check_ref`).

    `blobs` and `trees` False leave those out where the server can; it sends everything where it cannot.
    """
    filters = [] if blobs else ["--filter=blob:none"] if trees else ["--filter=tree:0"]
    return ("git", "fetch", "--quiet", "--depth=1", "--no-tags", *filters, "--", url.text, what)


def checkout() -> tuple[str, ...]:
    """The files of FETCH_HEAD into the working directory."""
    return ("git", "checkout", "--quiet", "--detach", "FETCH_HEAD")


def check_commit(commit: str) -> str:
    """40 or 64 lower-case hexadecimal digits, or InvalidInput."""
    if not _SHA.fullmatch(commit):
        raise InvalidInput(f"{commit!r} is not a full commit hash.", code="invalid_ref", field="ref")
    return commit


def is_commit(ref: str) -> bool:
    return bool(_SHA.fullmatch(ref.lower()))


def check_ref(ref: str) -> str:
    """The name of a branch or tag, or InvalidInput: git's own rules, and no leading `-`."""
    if not ref or len(ref) > 1000 or _BAD_REF.search(ref) or not ref.isprintable():
        raise InvalidInput(
            f"{ref[:200]!r} is not the name of a branch or tag.",
            code="invalid_ref",
            hint="Give a branch, a tag or a full commit hash.",
            field="ref",
        )
    return ref


def _ssh_command(directory: str) -> str:
    """Git runs it through its shell: nothing in it comes from a user."""
    options = (
        f'IdentityFile="{directory}/key"',
        f'UserKnownHostsFile="{directory}/known_hosts"',
        "GlobalKnownHostsFile=/dev/null",
        "StrictHostKeyChecking=yes",
        "UpdateHostKeys=no",
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        "PasswordAuthentication=no",
        "KbdInteractiveAuthentication=no",
        "BatchMode=yes",
        "ConnectTimeout=15",
        "ClearAllForwardings=yes",
        "PermitLocalCommand=no",
    )
    return "ssh -F /dev/null " + " ".join(f"-o {shlex.quote(option)}" for option in options)


def _check_ssh(access: GitAccess) -> None:
    if access.url.transport != "ssh":
        return
    if not access.deploy_key:
        raise InvalidInput(
            "This repository is reached over ssh, and the project has no deploy key.",
            code="deploy_key_missing",
            hint="Make one for the project and add it to the repository, or use the repository's https address.",
            field="git_url",
        )
    if not access.known_hosts and access.url.host not in KNOWN_HOSTS:
        raise InvalidInput(
            f"The ssh host key of {access.url.host} is not known.",
            code="host_key_unknown",
            hint=f"Set the project's known_hosts to what `ssh-keyscan {access.url.host}` prints, after checking it.",
            field="known_hosts",
        )


def _check_password(access: GitAccess) -> None:
    for name, value in (("username", access.username), ("password", access.password)):
        if value and not value.isprintable():
            raise InvalidInput(f"The {name} has control characters in it.", code="invalid_credentials", field=name)


def _known_hosts(url: GitUrl, own: str | None) -> str:
    """The project's own list if it has one, else the key that is shipped for this host."""
    if own:
        return own.strip() + "\n"
    names = url.host if url.port == 22 else f"[{url.host}]:{url.port}"
    return f"{names} {KNOWN_HOSTS[url.host]}\n"


def repository_path(url: GitUrl) -> str:
    """Where a `file` repository lies on this machine, to be mounted at the same path."""
    return unquote(url.path)
