"""What a session is told to run, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from scalemesh.egress.guard import Guard

Reason = Literal["exited", "timeout", "memory", "disk", "processes", "canceled"]


@dataclass(frozen=True)
class Mount:
    """`source` on the host appears as `target` (absolute) in steps; read-only unless `writable`."""

    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True)
class StepCommand:
    """One process tree. `env` is all of its environment but HOME, PATH, TMPDIR and the like, which have defaults.

    `cwd` and paths in `argv` and `env` are as steps see them: make them with `Session.view`. `egress=None` means no
    network at all. `mounts` are added to the session's for this step alone.
    """

    argv: tuple[str, ...]
    cwd: str
    timeout_s: float
    env: Mapping[str, str] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    egress: Guard | None = None


@dataclass(frozen=True)
class StepResult:
    """How a step ended. `signal` is set when its first process died by one (`exit_code` is then 128 + signal)."""

    reason: Reason
    exit_code: int
    signal: int | None
    duration_ms: int

    @property
    def ok(self) -> bool:
        return self.reason == "exited" and self.exit_code == 0

    @property
    def oom(self) -> bool:
        return self.reason == "memory"

    @property
    def timed_out(self) -> bool:
        return self.reason == "timeout"
