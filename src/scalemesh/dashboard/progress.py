"""The steps of a deployment as people see them: all of them from the start, each with what became of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scalemesh.core.build import STEPS
from scalemesh.core.state import TERMINAL, State
from scalemesh.deployments.views import StepView

Mark = Literal["done", "failed", "running", "waiting", "skipped"]

_TITLES = {"clone": "Clone", "detect": "Detect", "install": "Install", "build": "Build", "upload": "Upload"}


@dataclass(frozen=True)
class Progress:
    """One step; `duration_ms` once it is over, `started_at` (RFC 3339) while it runs."""

    step: str
    title: str
    mark: Mark
    duration_ms: int | None = None
    started_at: str | None = None
    detail: str = ""


def progress(state: str, steps: Sequence[StepView]) -> list[Progress]:
    """One entry per step of STEPS, in their order. A step that never ran is skipped once the deployment is over."""
    seen = {step.step: step for step in steps}
    over = State(state) in TERMINAL
    return [_of(name, seen.get(name), over=over) for name in STEPS]


def _of(name: str, step: StepView | None, *, over: bool) -> Progress:
    title = _TITLES[name]
    if step is None:
        return Progress(name, title, "skipped" if over else "waiting")
    if step.finished_at is None:
        mark: Mark = "failed" if over else "running"
        return Progress(name, title, mark, started_at=None if over else step.started_at, detail=step.detail)
    done: Mark = "failed" if step.exit_code else "done"
    return Progress(name, title, done, duration_ms=step.duration_ms, detail=step.detail)
