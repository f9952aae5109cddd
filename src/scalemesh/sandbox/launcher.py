"""Starting a program of ours (an agent, a git worker) under an unprivileged uid of its own."""

import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from scalemesh.errors import InfrastructureFault

_PROGRAM = Path(__file__).with_name("launch.py")
_SOURCE_ROOT = Path(__file__).parents[2]
_HANDOVER_S = 10.0


class Launcher:
    """`expose`: paths that every launched program must reach, beside python and this package themselves."""

    def __init__(self, expose: Sequence[Path] = ()) -> None:
        self._expose = (*runtime_paths(), *expose)

    def spawn(
        self,
        argv: Sequence[str],
        *,
        uid: int | None,
        cwd: Path,
        env: Mapping[str, str],
        expose: Sequence[Path] = (),
        owned: Sequence[Path] = (),
        cgroups: Iterable[Path] = (),
        pass_fds: Sequence[int] = (),
        stdout: int | IO[Any] | None = None,
        stderr: int | IO[Any] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start `argv` in a session of its own with an empty stdin; the pid is the program's from the start.

        `owned`: folders to expose whose content, root's, shows as the program's own, read-only (kernel 5.12).

        `uid` (and a gid of the same number) only when we are root, where it must not be 0; None keeps ours. It joins
        `cgroups` (`Cgroup.procs_paths`) before it runs. Raises InfrastructureFault when the launcher does not start;
        when it fails later, the process ends with 125 and says why on its stderr.
        """
        if (uid is None) == (os.geteuid() == 0):
            raise InfrastructureFault("Programs need a uid of their own when the platform is root, and only then.")
        request = {
            "uid": uid,
            "gid": uid,
            "argv": list(argv),
            "cwd": str(cwd),
            "expose": [str(p.absolute()) for p in (*self._expose, *expose, *owned)],
            "owned": [str(p.absolute()) for p in owned],
            "cgroups": [str(p) for p in cgroups],
        }
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=stderr,
            env=dict(env),
            cwd="/",
            pass_fds=pass_fds,
            start_new_session=True,
        )
        try:
            _hand_over(process, json.dumps(request).encode())
        except BaseException:
            process.kill()
            process.wait(_HANDOVER_S)
            raise
        return process


def _hand_over(process: subprocess.Popen[bytes], request: bytes) -> None:
    if process.stdin is None:
        raise InfrastructureFault("The launcher has no stdin.", code="launch_failed")
    try:
        with process.stdin:
            process.stdin.write(request)
        process.stdin = None  # so that communicate() leaves it alone
    except BrokenPipeError as error:
        raise InfrastructureFault("The launcher died at once.", code="launch_failed") from error


def runtime_paths() -> list[Path]:
    """Where python, its libraries and this package are."""
    paths = {Path(sys.prefix), Path(sys.base_prefix), _SOURCE_ROOT, Path(sys.executable).parent}
    paths |= {Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return sorted(path for path in paths if path.exists())


def make_private(directory: Path, uid: int | None) -> None:
    """Create `directory` (0700) for the uid that will run there; it must not exist yet."""
    directory.mkdir(mode=0o700)
    if uid is not None:
        os.chown(directory, uid, uid)
