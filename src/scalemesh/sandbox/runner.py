"""The port between a session and what executes its steps."""

from pathlib import Path
from typing import Protocol

from scalemesh.sandbox.step import Reason, StepCommand


class Runner(Protocol):
    """Executes one step at a time. Opened and closed by its session, once."""

    @property
    def pid(self) -> int | None:
        """Every process of a step is a descendant of this one."""

    @property
    def hit(self) -> Reason | None:
        """The limit that the last step hit, where the runner alone can know."""

    async def open(self) -> None:
        """Raises InfrastructureFault when there can be no isolation here."""

    async def overlay(self, lower: Path, upper: Path, work: Path) -> bool:
        """From now on steps see `lower` in `upper`, and what they change there lies in `upper` alone.

        False where that cannot be done. All three are on the host, `work` empty and beside `upper`.
        """

    async def start(self, step: StepCommand, stdout: int, stderr: int) -> None:
        """Start `step` with these descriptors, which stay the caller's. Raises InfrastructureFault."""

    def kill(self) -> None:
        """Kill all processes of the running step; `wait` then returns. Nothing when none runs."""

    async def wait(self) -> int:
        """The running step's exit code (128 + signal), once all its processes are dead. Raises InfrastructureFault."""

    async def close(self) -> None:
        """Nothing is left afterwards, whatever state it was in."""

    def path(self, target: str, source: str) -> str:
        """Which of the two paths steps see: inside the sandbox, or on the host."""
