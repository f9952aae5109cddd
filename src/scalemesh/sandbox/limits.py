"""Control groups: memory, processes and processors of one build, agent included.

Version 2 in a subtree that is ours to write, else version 1, else none, where rlimits and `watch` have to do. A group
is nested under the platform's own, so an outer limit keeps holding. All calls block for a short time.
"""

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scalemesh.core.build import Limits
from scalemesh.errors import InfrastructureFault

ROOT = Path("/sys/fs/cgroup")
PREFIX = "scalemesh-"
OVERHEAD_PROCESSES = 64  # the agent's own, above what RLIMIT_NPROC lets a step have
_CONTROLLERS = ("memory", "pids", "cpu")
_PERIOD_US = 100_000
_POLL_S = 0.01


@dataclass(frozen=True)
class Cgroup:
    """One group; `paths` are its directories: one in version 2, one per controller in version 1."""

    version: int
    paths: tuple[Path, ...]

    @classmethod
    def create(cls, name: str, limits: Limits, root: Path = ROOT) -> "Cgroup | None":
        """A new group (or the one of that name) with these limits; None when this machine allows none of ours."""
        for make in (_create_v2, _create_v1):
            with contextlib.suppress(OSError):  # not ours to write, or a controller is missing: the next one
                return make(PREFIX + name, limits, root)
        return None

    @classmethod
    def from_handle(cls, handle: dict[str, Any]) -> "Cgroup":
        return cls(handle["version"], tuple(map(Path, handle["paths"])))

    def handle(self) -> dict[str, Any]:
        """What finds the group again after a restart, as JSON."""
        return {"version": self.version, "paths": [str(p) for p in self.paths]}

    @property
    def procs_paths(self) -> tuple[Path, ...]:
        return tuple(path / "cgroup.procs" for path in self.paths)

    def processes(self) -> set[int]:
        """Every process in it; empty when it is gone."""
        found: set[int] = set()
        for path in self.procs_paths:
            with contextlib.suppress(OSError):  # it is gone
                found.update(map(int, path.read_text().split()))
        return found

    def oom_kills(self) -> int:
        """How many of its processes the kernel has killed for memory."""
        return sum(_oom_kills(path) for path in self.paths)

    def kill(self, deadline_s: float = 10.0) -> None:
        """Kill every process in it; nothing can be forked meanwhile. Raises InfrastructureFault at the deadline."""
        for path in self.paths:
            with contextlib.suppress(OSError):  # only the pids controller has it; a fork bomb stops growing here
                (path / "pids.max").write_text("0")
            with contextlib.suppress(OSError):  # version 2, Linux 5.14
                (path / "cgroup.kill").write_text("1")
        end = time.monotonic() + deadline_s
        while pids := self.processes():
            if time.monotonic() > end:
                raise InfrastructureFault(f"{len(pids)} processes of a build do not die.", code="build_not_killed")
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(_POLL_S)

    def remove(self, deadline_s: float = 10.0) -> None:
        """Remove the empty group; fine when it is gone. Raises InfrastructureFault while it stays in use."""
        end = time.monotonic() + deadline_s
        for path in self.paths:
            while not _removed(path):
                if time.monotonic() > end:
                    raise InfrastructureFault(f"The control group {path} is still in use.", code="build_not_killed")
                time.sleep(_POLL_S)


def existing(root: Path = ROOT) -> list[Cgroup]:
    """Groups of builds that are there, for a sweep: named `scalemesh-…` below the platform's own."""
    found: list[Cgroup] = []
    own = _own(root)
    if parent := _v2_parent(root):
        found += [Cgroup(2, (path,)) for path in parent.glob(PREFIX + "*")]
    by_name: dict[str, list[Path]] = {}
    for controller in _CONTROLLERS:
        for path in own[controller].glob(PREFIX + "*") if controller in own else ():
            by_name.setdefault(path.name, []).append(path)
    return found + [Cgroup(1, tuple(paths)) for paths in by_name.values()]


def available(root: Path = ROOT) -> int | None:
    """The version that `create` would use, found by creating one; None for none."""
    group = Cgroup.create(f"probe-{os.getpid()}", Limits(), root)
    if group is None:
        return None
    group.remove()
    return group.version


def own_memory(root: Path = ROOT) -> "OwnMemory | None":
    """The memory group that this process is in, if it can be read."""
    own = _own(root)
    for path in (own.get("memory"), root / "memory", own.get("")):  # the second: as a container sees its own group
        if path and path.is_dir():
            return OwnMemory(path)
    return None


@dataclass(frozen=True)
class OwnMemory:
    path: Path

    def oom_kills(self) -> int:
        return _oom_kills(self.path)

    def limit_bytes(self) -> int | None:
        """Its own limit, outer ones left aside; None for no limit."""
        for name in ("memory.max", "memory.limit_in_bytes"):
            with contextlib.suppress(OSError, ValueError):  # the other version's file, or "max"
                return int((self.path / name).read_text())
        return None


def own_processes(root: Path = ROOT) -> "OwnProcesses | None":
    """The group that limits how many processes there are beside this one, if it can be read."""
    own = _own(root)
    candidates = (own.get("pids"), root / "pids", own.get(""))
    return next((OwnProcesses(path) for path in candidates if path and (path / "pids.events").exists()), None)


@dataclass(frozen=True)
class OwnProcesses:
    path: Path

    def refused(self) -> int:
        """How many more the kernel has refused: the group's limit was hit."""
        words = (self.path / "pids.events").read_text().split()
        return int(words[words.index("max") + 1])

    def count(self) -> int:
        return int((self.path / "pids.current").read_text())

    def most(self) -> int:
        """How many there have been at once; before Linux 6.1, how many there are."""
        peak = self.path / "pids.peak"
        return int(peak.read_text()) if peak.exists() else self.count()

    def is_of(self, limits: Limits) -> bool:
        """Whether it is a group that `Cgroup.create` made with these limits."""
        return (self.path / "pids.max").read_text().strip() == str(limits.processes + OVERHEAD_PROCESSES)


def _oom_kills(path: Path) -> int:
    for name in ("memory.events", "memory.oom_control"):
        with contextlib.suppress(OSError):  # the other version's file, or another controller's group
            words = (path / name).read_text().split()
            return int(words[words.index("oom_kill") + 1]) if "oom_kill" in words else 0
    return 0


def _own(root: Path) -> dict[str, Path]:
    """Controller → the directory of the group that this process is in; "" for version 2."""
    found: dict[str, Path] = {}
    for line in _own_groups().splitlines():
        _, controllers, path = line.split(":", 2)
        for name in controllers.split(","):
            base = root / controllers if controllers else _v2_root(root)
            if base:
                found[name] = base / path.lstrip("/")
    return found


def _own_groups() -> str:
    return Path("/proc/self/cgroup").read_text()


def _v2_root(root: Path) -> Path | None:
    return next((p for p in (root, root / "unified") if (p / "cgroup.controllers").exists()), None)


def _v2_parent(root: Path) -> Path | None:
    """The nearest group above us that is ours to write and hands down all controllers."""
    base, own = _v2_root(root), _own(root).get("")
    if base is None or own is None:
        return None
    return next((p for p in (own, *own.parents) if p.is_relative_to(base) and _can_hold(p, base)), None)


def _can_hold(path: Path, base: Path) -> bool:
    """Children may have limits: the controllers are there, and no process sits beside them (but at the very top)."""
    if not all(os.access(path / name, os.W_OK) for name in ("", "cgroup.procs", "cgroup.subtree_control")):
        return False
    offered = (path / "cgroup.controllers").read_text().split()
    return set(_CONTROLLERS) <= set(offered) and (path == base or not (path / "cgroup.procs").read_text())


def _create_v2(name: str, limits: Limits, root: Path) -> Cgroup:
    parent = _v2_parent(root)
    if parent is None:
        raise FileNotFoundError("no version 2 group of ours")
    (parent / "cgroup.subtree_control").write_text(" ".join(f"+{c}" for c in _CONTROLLERS))
    quota = int(limits.cpus * _PERIOD_US)
    files = {
        "memory.max": str(limits.memory_bytes),
        "pids.max": str(limits.processes + OVERHEAD_PROCESSES),
        "cpu.max": f"{quota} {_PERIOD_US}",
    }
    return _fill(2, {parent / name: files}, optional={"memory.swap.max": "0"})


def _create_v1(name: str, limits: Limits, root: Path) -> Cgroup:
    own = _own(root)
    if not set(_CONTROLLERS) <= own.keys():
        raise FileNotFoundError("no version 1 controllers")
    files = {
        own["memory"] / name: {"memory.limit_in_bytes": str(limits.memory_bytes)},
        own["pids"] / name: {"pids.max": str(limits.processes + OVERHEAD_PROCESSES)},
        own["cpu"] / name: {
            "cpu.cfs_period_us": str(_PERIOD_US),
            "cpu.cfs_quota_us": str(int(limits.cpus * _PERIOD_US)),
        },
    }
    return _fill(1, files, optional={"memory.memsw.limit_in_bytes": str(limits.memory_bytes)})


def _fill(version: int, groups: dict[Path, dict[str, str]], optional: dict[str, str]) -> Cgroup:
    made = Cgroup(version, tuple(groups))
    try:
        for path, files in groups.items():
            path.mkdir(exist_ok=True)
            for name, value in files.items():
                (path / name).write_text(value)
            for name, value in optional.items():
                if (path / name).exists():
                    (path / name).write_text(value)
    except OSError:
        made.remove()
        raise
    return made


def _removed(path: Path) -> bool:
    try:
        path.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False  # busy: its last processes are being reaped
    return True
