"""A session: steps of one build, one after the other, isolated from the host and from everybody else's."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from scalemesh.core.build import Limits
from scalemesh.sandbox import etc
from scalemesh.sandbox.contained import ContainedRunner
from scalemesh.sandbox.direct import DirectRunner
from scalemesh.sandbox.runner import Runner
from scalemesh.sandbox.step import Mount, Reason, StepCommand, StepResult

Stream = Literal["stdout", "stderr"]
OnOutput = Callable[[Stream, bytes], Awaitable[None]]
Mode = Literal["bubblewrap", "none"]

_CHUNK = 64 * 1024
_DIE_S = 10.0
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def _ignore(_line: str) -> None:
    return


class Session:
    """Opened with `async with`; closing kills what runs and leaves `directory` as the last step left it.

    `directory` exists and belongs to the calling uid. `mounts` (toolchains) are in every step. `on_notice` gets lines
    for the build's log, such as `egress denied: …`. One step at a time.
    """

    def __init__(
        self,
        directory: Path,
        *,
        limits: Limits,
        mode: Mode = "bubblewrap",
        mounts: Sequence[Mount] = (),
        on_notice: Callable[[str], None] = _ignore,
    ) -> None:
        self.directory = directory
        self.workspace = directory / "workspace"
        self._limits = limits
        home, tmp = directory / "home", directory / "tmp"
        self._mounts = (
            Mount(self.workspace, "/workspace", writable=True),
            Mount(home, "/home/build", writable=True),
            Mount(tmp, "/tmp", writable=True),  # noqa: S108 - the sandbox's own
            *mounts,
        )
        self._mode = mode
        contained = mode == "bubblewrap"
        self._runner: Runner = ContainedRunner(directory / "etc", limits, on_notice) if contained else DirectRunner()
        self._running = False
        self._ending: Reason | None = None

    async def __aenter__(self) -> "Session":
        for name in ("workspace", "home", "tmp", "etc"):
            (self.directory / name).mkdir(exist_ok=True)
        try:
            await self._runner.open()
        except BaseException:
            await self._runner.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.close()

    def view(self, path: Path) -> str:
        """`path` on the host as steps see it. Raises ValueError for what no mount shows."""
        for mount in self._mounts:
            if path.is_relative_to(mount.source):
                target = Path(mount.target, path.relative_to(mount.source))
                return self._runner.path(str(target), str(path))
        raise ValueError(f"{path} is not visible in the sandbox")

    async def run(self, step: StepCommand, on_output: OnOutput) -> StepResult:
        """Run to the end; when this returns or raises, every process of the step is dead.

        `on_output` is awaited before more is read (backpressure). Raises InfrastructureFault when the step could not
        be started or the sandbox died, and whatever `on_output` raised.
        """
        if self._running:
            raise RuntimeError("a step is running already")
        self._running, self._ending = True, None
        started = time.monotonic()
        try:
            code = await self._execute(self._complete(step), on_output)
        finally:
            self._running = False
        duration_ms = int((time.monotonic() - started) * 1000)
        signal = code - 128 if 128 < code <= 192 else None
        return StepResult(self._ending or "exited", code, signal, duration_ms)

    async def cancel(self) -> None:
        """End the running step (its reason is then `canceled`); nothing when none runs."""
        if self._running:
            self._end("canceled")

    def _end(self, reason: Reason) -> None:
        self._ending = self._ending or reason
        self._runner.kill()

    def _complete(self, step: StepCommand) -> StepCommand:
        return replace(step, env={**self._environment(), **step.env}, mounts=(*self._mounts, *step.mounts))

    def _environment(self) -> dict[str, str]:
        env = {"PATH": _PATH, "LANG": "C.UTF-8", "USER": "build", "LOGNAME": "build", "SHELL": "/bin/sh"}
        env |= {"HOME": self.view(self.directory / "home"), "TMPDIR": self.view(self.directory / "tmp")}
        if self._mode == "bubblewrap":
            return env | etc.ca_environment(os.environ)
        return {**os.environ, **env, "PATH": os.environ.get("PATH", _PATH)}

    async def _execute(self, step: StepCommand, on_output: OnOutput) -> int:
        async with _Output(on_output) as output:
            try:
                await self._runner.start(step, output.stdout, output.stderr)
            finally:
                output.close_ours()
            return await self._supervise(step, output)

    async def _supervise(self, step: StepCommand, output: "_Output") -> int:
        ended = asyncio.create_task(self._runner.wait())
        reading = asyncio.create_task(output.read())
        deadline = asyncio.get_running_loop().call_later(step.timeout_s, self._end, "timeout")
        try:
            await asyncio.wait({ended, reading}, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            deadline.cancel()
            if not ended.done() or reading.done() is False:
                self._runner.kill()
            await asyncio.wait({ended}, timeout=_DIE_S)
        await reading
        return await ended


class _Output:
    """Two pipes and their readers."""

    def __init__(self, on_output: OnOutput) -> None:
        self._on_output = on_output

    async def __aenter__(self) -> "_Output":
        self._out, self.stdout = os.pipe()
        self._err, self.stderr = os.pipe()
        return self

    def close_ours(self) -> None:
        """The writing ends: the step has its own."""
        os.close(self.stdout)
        os.close(self.stderr)

    async def read(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pump("stdout", self._out))
            group.create_task(self._pump("stderr", self._err))

    async def _pump(self, stream: Stream, fd: int) -> None:
        reader = asyncio.StreamReader(limit=_CHUNK)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(fd), "rb", 0)
        )
        try:
            while data := await reader.read(_CHUNK):
                await self._on_output(stream, data)
        finally:
            transport.close()

    async def __aexit__(self, *_: object) -> None:
        os.close(self._out)
        os.close(self._err)
