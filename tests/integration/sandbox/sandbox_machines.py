"""Sessions as they are in production: held by a program that the Launcher started, with a host uid of its own."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from scalemesh.sandbox.launcher import make_private

HERE = Path(__file__).parent
_uids = itertools.count(210_000 + os.getpid() % 1000 * 10)


@dataclass
class Step:
    argv: list[str]
    timeout_s: float = 60
    egress: dict[str, Any] | None = None
    env: dict[str, str] = field(default_factory=dict)
    cancel_after_s: float | None = None


@dataclass
class Outcome:
    reason: str
    exit_code: int
    stdout: str
    stderr: str
    notices: list[str]
    duration_ms: int

    @property
    def ok(self) -> bool:
        return self.reason == "exited" and self.exit_code == 0


def sh(script: str, **options: Any) -> Step:
    return Step(["/bin/sh", "-c", script], **options)


def py(script: str, **options: Any) -> Step:
    return Step(["/usr/bin/env", "python3", "-c", script], **options)


class Machine:
    """One session's holder, running; `uid` is whose processes to look for."""

    def __init__(self, root: Path, steps: list[Step], **options: Any) -> None:
        self.uid = next(_uids) if os.geteuid() == 0 else None
        self.directory = root / "session"
        make_private(self.directory, self.uid)
        request = {
            "directory": str(self.directory),
            "steps": [asdict(s) for s in steps],
            "uid": self.uid,
            "mode": "bubblewrap",
            "limits": {},
            "private_network": False,
            "cgroup": None,
            "expose": [],
            **options,
        }
        path = root / "request.json"
        path.write_text(json.dumps(request))
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "sandbox_machine.py"), str(path)], stdout=subprocess.PIPE, text=True
        )
        self.outcomes: list[Outcome] = []
        self._output = ""
        self.pid = int(self._line()["pid"])

    @property
    def _stdout(self) -> IO[str]:
        assert self.process.stdout
        return self.process.stdout

    def _line(self) -> dict[str, Any]:
        line = self._stdout.readline()
        assert line, f"the driver died: {self.process.wait(10)}"
        message: dict[str, Any] = json.loads(line)
        if "output" in message:
            self._output += message["output"]
        if "result" in message:
            self.outcomes.append(Outcome(**message["result"]))
        return message

    def wait_for(self, text: str) -> None:
        while text not in self._output:
            self._line()

    def finish(self) -> list[Outcome]:
        for line in self._stdout:
            message = json.loads(line)
            if "result" in message:
                self.outcomes.append(Outcome(**message["result"]))
        assert self.process.wait(30) == 0
        return self.outcomes

    def processes(self) -> list[int]:
        """Every process of this uid, zombies left out."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    status = (entry / "status").read_text()
                except OSError:
                    continue
                if f"Uid:\t{self.uid}\t" in status and "State:\tZ" not in status:
                    found.append(int(entry.name))
        return found

    def until_no_processes(self, deadline_s: float = 5.0) -> list[int]:
        end = time.monotonic() + deadline_s
        while (left := self.processes()) and time.monotonic() < end:
            os.sched_yield()
        return left

    def kill(self) -> None:
        for pid in self.processes() if self.uid else ():
            with contextlib.suppress(ProcessLookupError):  # it ended by itself
                os.kill(pid, signal.SIGKILL)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        self._stdout.close()
