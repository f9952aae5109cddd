"""`SCALEMESH_BUILD_SANDBOX=none`: steps as plain processes of this user, with no isolation at all."""

import asyncio
import os
import signal
from pathlib import Path

from scalemesh.errors import InfrastructureFault
from scalemesh.sandbox.step import Reason, StepCommand


class DirectRunner:
    """A step is one process group; what leaves the group is not contained."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        return os.getpid()

    @property
    def hit(self) -> Reason | None:
        return None  # the session's own control group says so

    async def open(self) -> None:
        return

    async def overlay(self, lower: Path, upper: Path, work: Path) -> bool:
        return False

    async def start(self, step: StepCommand, stdout: int, stderr: int) -> None:
        try:
            self._process = await asyncio.create_subprocess_exec(
                *step.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=dict(step.env),
                cwd=step.cwd,
                start_new_session=True,
            )
        except OSError as error:
            raise InfrastructureFault(f"{step.argv[0]} cannot be started: {error}", code="step_not_started") from error

    def kill(self) -> None:
        if self._process:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except ProcessLookupError:
                return  # the whole group has ended

    async def wait(self) -> int:
        if self._process is None:
            raise InfrastructureFault("No step is running.", code="step_not_started")
        code = await self._process.wait()
        self.kill()
        self._process = None
        return code if code >= 0 else 128 - code

    async def close(self) -> None:
        if self._process:
            self.kill()
            await self._process.wait()

    def path(self, target: str, source: str) -> str:
        return source
