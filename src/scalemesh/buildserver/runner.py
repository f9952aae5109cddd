"""What a build needs of a sandbox session; scalemesh.sandbox.session.Session is one, tests have their own."""

from pathlib import Path
from typing import Protocol

from scalemesh.sandbox.output import OnOutput
from scalemesh.sandbox.step import StepCommand, StepResult


class Runner(Protocol):
    """`directory` has `workspace/` and `home/`; `view` is a host path as steps see it."""

    @property
    def directory(self) -> Path: ...

    @property
    def workspace(self) -> Path: ...

    def view(self, path: Path) -> str: ...

    async def overlay(self, lower: Path, upper: Path) -> bool: ...

    async def run(self, step: StepCommand, on_output: OnOutput) -> StepResult: ...
