"""Starting, killing and reaping one step at a time."""

import os
import resource
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scalemesh.egress import channel


class Steps:
    """The step that runs, if one does. Every other process of this PID namespace is a descendant of it."""

    def __init__(self, prepare: Callable[[], None] = lambda: None) -> None:
        """`prepare` is called in each step's process before it becomes the step."""
        self._child: subprocess.Popen[bytes] | None = None
        self._prepare = prepare

    def start(self, spec: dict[str, Any], stdout: int, stderr: int) -> None:
        """Run `spec["argv"]`; takes the descriptors over, whatever happens."""
        try:
            self._child = subprocess.Popen(
                spec["argv"],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=spec["env"],
                cwd=spec["cwd"],
                start_new_session=True,
                preexec_fn=lambda: self._become(spec["rlimits"]),  # noqa: PLW1509 - this process has one thread
            )
        finally:
            for fd in (stdout, stderr):
                os.close(fd)

    def kill(self) -> None:
        """Kill every process of the namespace but this one, its process 1: the step, and what it left behind."""
        try:
            os.kill(-1, signal.SIGKILL)
        except ProcessLookupError:
            return  # nothing is left

    def reap(self) -> dict[str, Any] | None:
        """Collect the dead. The end of the step, once not one of its processes is left, else None."""
        child = self._child
        if child is None:
            return None
        try:
            while (dead := os.waitpid(-1, os.WNOHANG))[0]:
                if dead[0] == child.pid:
                    child.returncode = os.waitstatus_to_exitcode(dead[1])
                    self.kill()
        except ChildProcessError:
            return self._finish(child)
        return None

    def reap_all(self) -> None:
        """Wait until this process has no child left; after `kill` that takes no time."""
        try:
            while True:
                os.waitpid(-1, 0)
        except ChildProcessError:
            return

    def _become(self, rlimits: dict[str, int]) -> None:
        self._prepare()
        _restrict(rlimits)

    def _finish(self, child: subprocess.Popen[bytes]) -> dict[str, Any]:
        self._child = None
        return {"event": "exited", "code": child.returncode, "ran": True}


class BubblewrapSteps(Steps):
    """Each step in a bubblewrap of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._status_fd = -1

    def start(self, spec: dict[str, Any], stdout: int, stderr: int) -> None:
        """Run bubblewrap as `spec` says; takes the descriptors over, whatever happens."""
        inherited: list[int] = []
        try:
            self._status_fd, status = os.pipe()
            inherited.append(status)
            argv = [spec["bwrap"], "--json-status-fd", str(status)]
            argv += _with_file("--args", b"".join(os.fsencode(o) + b"\0" for o in spec["options"]), inherited)
            argv += _with_file("--seccomp", bytes.fromhex(spec["seccomp"]), inherited)
            self._child = subprocess.Popen(
                [*argv, "--", *spec["argv"]],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                pass_fds=inherited,
                env={},
                cwd="/",
                preexec_fn=lambda: _restrict(spec["rlimits"]),  # noqa: PLW1509 - this process has one thread
            )
        finally:
            for fd in (*inherited, stdout, stderr):
                os.close(fd)

    def _finish(self, child: subprocess.Popen[bytes]) -> dict[str, Any]:
        with os.fdopen(self._status_fd, "rb") as status:
            ran = b'"exit-code"' in status.read()
        return {**super()._finish(child), "ran": ran or child.returncode < 0}


def _with_file(option: str, data: bytes, inherited: list[int]) -> list[str]:
    if not data:
        return []
    inherited.append(channel.memfd(option.strip("-"), data))
    return [option, str(inherited[-1])]


def _restrict(rlimits: dict[str, int]) -> None:
    Path("/proc/self/oom_score_adj").write_text("1000")  # the kernel's first choice, before us and the agent
    # 1, not 0: then the kernel does not start the host's program for core dumps either, as root (fs/coredump.c).
    for name, wanted in {**rlimits, "RLIMIT_CORE": 1}.items():
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (value, value))
