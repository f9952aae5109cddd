"""Why a step failed, in a sentence that teaches: from how its command ended and what it said last."""

import re
from dataclasses import dataclass
from pathlib import Path

from scalemesh.buildserver import spelling
from scalemesh.core.build import Limits
from scalemesh.errors import BuildFailed, ScaleMeshError
from scalemesh.sandbox.step import StepResult

TAIL_BYTES = 32 * 1024  # of a step's output, kept to look for causes
SEE_LOG = "The last lines of the log say why."
_GB = 1024**3
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_FEWER = "Make it use fewer, for example with fewer workers, or ask for a higher SCALEMESH_BUILD_PROCESSES."


@dataclass(frozen=True)
class Cause:
    """What the output must say, and what that means: `message` may have the pattern's {name}."""

    pattern: re.Pattern[str]
    code: str
    message: str
    hint: str


def _cause(pattern: str, code: str, message: str, hint: str) -> Cause:
    return Cause(re.compile(pattern, re.IGNORECASE), code, message, hint)


_CAUSES = (
    _cause(
        r"npm ci.{0,60}can only install packages when|ERR_PNPM_OUTDATED_LOCKFILE|lockfile would have been modified"
        r"|Your lockfile needs to be updated|lockfile had changes, but lockfile is frozen|lockfile is out of date"
        r"|lockfile at `?uv\.lock`? needs to be updated",
        "lockfile_out_of_date",
        "The lockfile does not match package.json (or pyproject.toml).",
        "Run the package manager's install on your machine and commit the changed lockfile.",
    ),
    _cause(
        r"JavaScript heap out of memory|Reached heap limit",
        "out_of_memory",
        "Node ran out of memory.",
        "Make the build use less, or set NODE_OPTIONS=--max-old-space-size to what its limit allows.",
    ),
    _cause(
        r"ENOSPC|No space left on device", "disk", "The build ran out of disk space.", "Write fewer or smaller files."
    ),
    _cause(
        r"(?:fork|clone|pthread_create|thread|spawn)\b.{0,60}(?:Resource temporarily unavailable|EAGAIN)|Cannot fork"
        r"|BlockingIOError: \[Errno 11\]|can't start new thread",
        "process_limit",
        "The build was refused more processes or threads.",
        _FEWER,
    ),
    _cause(
        r"EMFILE|Too many open files",
        "open_files_limit",
        "The build was refused more open files.",
        "Open fewer at once, or ask for a higher SCALEMESH_BUILD_OPEN_FILES.",
    ),
    _cause(
        r"(?:Missing script: \"?|Command \"(?=[\w:.-]+\" not found)|a script named \""
        r"|Script not found \"|Task not found: )(?P<name>[\w:.-]+)",
        "no_build_script",
        "package.json has no script called {name}.",
        "Add the script to package.json, or set another command in the project's settings.",
    ),
    _cause(
        r"No interpreter found for Python|Invalid version request: Python",
        "python_version",
        "That Python is not on the build machine.",
        "Set .python-version (or runtime.txt) to one that is, or remove it.",
    ),
    _cause(
        r"(?:ERR_PNPM_UNSUPPORTED_ENGINE|(?:error|ERR!) code EBADENGINE|The engine \"node\" is incompatible)"
        r"[\s\S]{0,500}?(?:Expected version: ?|Expected version \"|Required: \{[^}]{0,100}?\"node\": ?\")"
        r"(?P<name>[^\"\n]+)",
        "node_version",
        "A package asks for Node {name}, which is not the one that builds.",
        'Set "engines": {"node": "22.x"} in package.json, or the Node version in the project\'s settings.',
    ),
)
_UNREACHED = re.compile(
    r"ECONNREFUSED|ECONNRESET|ENOTFOUND|EAI_AGAIN|Could not resolve|Connection (?:refused|reset)", re.IGNORECASE
)


def of_limit(result: StepResult, limits: Limits) -> BuildFailed | None:
    """The failure of a step that hit a limit of the platform's; None when it did not."""
    if result.reason == "memory":
        return BuildFailed(
            f"The build needed more memory than its {limits.memory_bytes / _GB:.3g} GB.",
            code="out_of_memory",
            hint="Make it use less, for example with fewer workers, or ask for a higher SCALEMESH_BUILD_MEMORY.",
        )
    if result.reason == "disk":
        return BuildFailed(
            f"The build needed more disk than its {limits.disk_bytes / _GB:.3g} GB.",
            code="disk",
            hint="Write fewer or smaller files, or ask for a higher SCALEMESH_BUILD_DISK.",
        )
    if result.reason == "processes":
        return BuildFailed(
            f"The build needed more processes and threads than its {limits.processes}.",
            code="process_limit",
            hint=_FEWER,
        )
    if result.reason == "timeout":
        return BuildFailed(
            f"The build did not finish within {limits.build_timeout_s} s.",
            code="timeout",
            hint="Does a command wait for input, or never end? The operator's limit is SCALEMESH_BUILD_TIMEOUT.",
        )
    return None


def of_command(
    step: str, command: str, result: StepResult, limits: Limits, tail: str, denied: list[str], workspace: Path
) -> BuildFailed:
    """The failure of a command that ended badly; `denied` are the egress refusals while it ran."""
    tail = _ANSI.sub("", tail)
    if limit := of_limit(result, limits):
        return limit
    ended = f"`{command}` ended with exit code {result.exit_code}."
    if denied and _UNREACHED.search(tail):
        return BuildFailed(
            f"{ended} It tried to reach what builds may not: {denied[0].removeprefix('egress denied: ')}.",
            code="egress_denied",
            hint="Use a public address, or ask the operator to list it in SCALEMESH_BUILD_EGRESS_ALLOW.",
        )
    for cause in _CAUSES:
        if found := cause.pattern.search(tail):
            return BuildFailed(f"{cause.message.format(**found.groupdict())} {ended}", code=cause.code, hint=cause.hint)
    if spelt := spelling.of_another_case(tail, workspace):
        return BuildFailed(
            f"{spelt[0]!r} is not there, but {spelt[1]!r} is: upper and lower case are different files here. {ended}",
            code="case_sensitive_import",
            hint="Write the import as the file is called, or rename the file with `git mv`.",
        )
    return BuildFailed(ended, code=f"{step}_failed", hint=_hint(result.exit_code))


def _hint(exit_code: int) -> str:
    if exit_code == 127:
        return "That means that a program was not found: is it among the dependencies?"
    if exit_code == 137:
        return "Something killed it; that is how running out of memory often looks."
    return SEE_LOG


def sentence(error: ScaleMeshError) -> str:
    """Message and hint as one text, for `error.message` of the deployment."""
    return f"{error.message} {error.hint}" if error.hint else error.message
