"""The supervisor's children: started, watched by pidfd, restarted with a growing pause; stdlib only.

Each is written down in `<data>/run/<name>.json` (pid, start time, boot), so that the supervisor after a killed one
finds what that left behind.
"""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from scalemesh.dispatch.backends import processes

BAD_SETTINGS = 2
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 10.0
_STEADY_S = 10.0  # a child that lived this long starts over with the shortest pause
_KILL_S = 5.0


class Child:
    """One process of the platform, in a session of its own: a Ctrl-C at the terminal reaches the supervisor alone."""

    def __init__(
        self, name: str, options: Sequence[str], run: Path, env: Mapping[str, str], fds: Sequence[int] = ()
    ) -> None:
        self.name = name
        # -P: no module of the folder that somebody happens to stand in.
        self._argv = [sys.executable, "-P", "-m", f"scalemesh.main.{name}", *options]
        self._record = run / f"{name}.json"
        self._env = env
        self._fds = fds
        self._process: subprocess.Popen[bytes] | None = None
        self._pause_s = _FIRST_PAUSE_S
        self._started_at = 0.0
        self.pidfd = -1
        self.restart_at: float | None = None
        self.has_been_steady = False

    @property
    def is_running(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._argv, env=self._env, pass_fds=self._fds, stdin=subprocess.DEVNULL, start_new_session=True
        )
        self.pidfd = os.pidfd_open(self._process.pid)
        self._started_at = time.monotonic()
        self.restart_at = None
        _write(self._record, self._process.pid)

    def ended(self) -> int:
        """Its pidfd has become readable: reaps it, and says when it may start again. Answers its exit status."""
        if self._process is None:
            raise RuntimeError(f"{self.name} is not running")
        status = self._process.wait()
        os.close(self.pidfd)
        self._process, self.pidfd = None, -1
        self._record.unlink(missing_ok=True)
        now = time.monotonic()
        steady = now - self._started_at > _STEADY_S
        self.has_been_steady |= steady
        self._pause_s = _FIRST_PAUSE_S if steady else min(self._pause_s * 2, _LONGEST_PAUSE_S)
        self.restart_at = now + self._pause_s
        return status

    def signal(self, number: signal.Signals) -> None:
        """To it alone; what it has started is its own to end."""
        if self._process is not None:
            self._process.send_signal(number)


def take_over(run: Path) -> list[str]:
    """Ends what a killed supervisor left running and answers its names; edge workers and builds go on meanwhile.

    A kill is no harm: nothing of ours keeps in memory what it has acknowledged.
    """
    found = []
    for record in sorted(run.glob("*.json")):
        pid = _same_process(record)
        if pid is not None and _kill(pid):
            found.append(record.stem)
        record.unlink()
    return found


def _same_process(record: Path) -> int | None:
    """The recorded process, if it is still that one and no other with its pid."""
    try:
        known = json.loads(record.read_text())
        pid = int(known["pid"])
        same = (known["start_time"], known["boot_id"]) == (processes.start_time(pid), processes.boot_id())
    except (ValueError, KeyError, TypeError):
        return None  # half written by a machine that lost power
    return pid if same else None


def _kill(pid: int) -> bool:
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        select.select([pidfd], [], [], _KILL_S)
    finally:
        os.close(pidfd)
    return True


def _write(record: Path, pid: int) -> None:
    facts = {"pid": pid, "start_time": processes.start_time(pid), "boot_id": processes.boot_id()}
    fresh = record.with_suffix(".new")
    fresh.write_text(json.dumps(facts))
    fresh.replace(record)
