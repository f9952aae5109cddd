"""Processes as the kernel knows them: identity beyond the pid, and who belongs to an attempt."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from scalemesh.errors import InfrastructureFault
from scalemesh.sandbox.watch import descendants

ATTEMPT = "SCALEMESH_AGENT_ATTEMPT"
_POLL_S = 0.02


@cache
def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_time(pid: int) -> int | None:
    """In clock ticks since boot; with the pid and the boot it names one process. None when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def of_attempt(attempt: str) -> list[int]:
    """What was started for it, from the launcher on: known by an environment that nobody else has."""
    mark = f"{ATTEMPT}={attempt}".encode()
    return [pid for pid in _pids() if mark in _environment(pid)]


def of_uid(uid: int) -> list[int]:
    return [pid for pid in _pids() if uid in _uids(pid)]


def working_in(folder: Path) -> list[int]:
    """Whose working directory is below `folder`: steps that outlived their agent where nothing contained them."""
    real = folder.resolve()
    return [pid for pid in _pids() if (at := _cwd(pid)) and at.is_relative_to(real)]


def kill_tree(find: Callable[[], list[int]]) -> None:
    """Kill what `find` finds and all that descends from it, however it hides from `find`."""
    trees = [(pid, start_time(pid)) for root in find() for pid in (root, *descendants(root))]
    kill(lambda: [*find(), *(pid for pid, started in trees if started and start_time(pid) == started)])


def kill(find: Callable[[], list[int]], deadline_s: float = 10.0) -> None:
    """Kill what `find` finds until it finds nothing. Raises InfrastructureFault at the deadline."""
    end = time.monotonic() + deadline_s
    while pids := find():
        if time.monotonic() > end:
            raise InfrastructureFault(f"Processes {pids} of a build do not die.", code="build_not_killed")
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(_POLL_S)


def _pids() -> Iterator[int]:
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and start_time(int(entry.name)) is not None:
            yield int(entry.name)


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it is gone, or not ours to look at
        return []


def _cwd(pid: int) -> Path | None:
    try:
        return Path(f"/proc/{pid}/cwd").readlink()
    except OSError:  # it is gone, or not ours to look at
        return None


def _uids(pid: int) -> set[int]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return set()
    return {int(uid) for line in lines if line.startswith("Uid:") for uid in line.split()[1:]}
