"""Why git failed, from what it printed: one table for everybody who runs it."""

import re
from dataclasses import dataclass

_HOST = re.compile(r"(?:.*://)?(?:[^@/]*@)?(?P<host>\[[^\]]*\]|[^:/]+)")


@dataclass(frozen=True)
class GitFailure:
    """`is_passing`: another try may do better, nothing in the project has to change."""

    code: str
    message: str
    hint: str
    is_passing: bool = False


@dataclass(frozen=True)
class _Sign:
    pattern: re.Pattern[str]
    code: str
    message: str
    hint: str
    is_passing: bool = False


def _sign(pattern: str, code: str, message: str, hint: str, *, is_passing: bool = False) -> _Sign:
    return _Sign(re.compile(pattern, re.IGNORECASE), code, message, hint, is_passing)


_SIGNS = (
    _sign(
        r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED",
        "host_key_unknown",
        "The ssh host key of {host} is not the known one.",
        "Check it with the host's owner, then set the project's known_hosts to what `ssh-keyscan {host}` prints.",
    ),
    _sign(
        r"not our ref|couldn't find remote ref|unable to read tree|unadvertised object|reference is not a tree",
        "commit_not_found",
        "{url} has no such commit or branch (any more).",
        "Was the branch force-pushed or deleted? Deploy it again, or name another one.",
    ),
    _sign(
        r"transport '?\S+'? not allowed|unable to find remote helper|unsupported protocol|protocol .* not supported",
        "forbidden_transport",
        "{url} leads to a transport that is not allowed here.",
        "Use the repository's own https or ssh address.",
    ),
    _sign(
        r"Authentication failed|could not read (?:Username|Password)|error: 40[13]|Permission denied"
        r"|Could not read from remote repository|terminal prompts disabled|Invalid username",
        "repository_private",
        "{url} may not be read without credentials, or does not exist.",
        "Make it public, or use its ssh address and add the project's deploy key to it.",
    ),
    _sign(
        r"repository .*not found|error: 404|does not appear to be a git repository|not valid: is this a git repository",
        "repository_not_found",
        "There is no repository at {url}.",
        "Open the address in a browser: is it spelled right, and is the repository public?",
    ),
    _sign(
        r"bad object|fsck error|corrupt|unpack-objects|index-pack failed|invalid index-pack",
        "repository_corrupt",
        "git refused what {url} sent: {said}.",
        "Run `git fsck --full` in the repository and mend what it finds.",
    ),
    _sign(
        r"Could not resolve|Connection (?:refused|reset|timed out)|Failed to connect|unable to access|early EOF|hung up"
        r"|No route to host|Network is unreachable|TLS|SSL|certificate|error: 5\d\d|expected flush|protocol error",
        "repository_unreachable",
        "{url} cannot be reached: {said}.",
        "Is the address right, and is its server up?",
        is_passing=True,
    ),
)


def explain(url: str, output: str, denied: str | None = None) -> GitFailure:
    """`output` is what git printed, `denied` what the egress guard refused meanwhile, if anything."""
    found = _HOST.match(url)
    facts = {"url": url, "host": found["host"] if found else url, "said": _last(output)}
    if denied:
        return GitFailure(
            "address_forbidden",
            f"{url} cannot be reached from here: {denied.removeprefix('egress denied: ')}",
            "The operator can allow repositories at private addresses: SCALEMESH_GIT_ALLOW_PRIVATE=1.",
        )
    for sign in _SIGNS:
        if sign.pattern.search(output):
            return GitFailure(sign.code, sign.message.format(**facts), sign.hint.format(**facts), sign.is_passing)
    return GitFailure("git_failed", f"git could not read {url}: {facts['said']}", "Is the address right?")


def _last(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    wanted = [line for line in lines if line.startswith(("fatal:", "error:", "remote:"))] or lines
    return re.sub(r"^(?:fatal|error): ", "", wanted[-1])[:300].rstrip(".") if wanted else "it does not say why"
