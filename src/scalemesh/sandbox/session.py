"""A session: steps of one build, one after the other, isolated from the host and from everybody else's."""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, Self

from scalemesh.core.build import Limits
from scalemesh.sandbox import etc
from scalemesh.sandbox.contained import ContainedRunner
from scalemesh.sandbox.direct import DirectRunner
from scalemesh.sandbox.output import OnOutput
from scalemesh.sandbox.remote import RemoteRunner
from scalemesh.sandbox.runner import Runner
from scalemesh.sandbox.step import Mount, StepCommand, StepResult
from scalemesh.sandbox.supervise import Supervision
from scalemesh.sandbox.watch import DiskWatch

Mode = Literal["bubblewrap", "container", "offline-container", "none"]

RUNNER_SOCKET = "runner.sock"
_LINGER_S: dict[Mode, float | None] = {"bubblewrap": None, "container": None, "offline-container": None, "none": 5.0}
_FROM_HOST = ("PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO", "REQUESTS_CA_BUNDLE")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def _ignore(_line: str) -> None:
    return


class Session:
    """Opened with `async with`; closing kills what runs and leaves `directory` as the last step left it.

    `directory` exists and belongs to the calling uid; in a container the runner sees it at the same path, and
    listens at RUNNER_SOCKET in it. `mounts` (toolchains) are in every step. `on_notice` gets lines for the build's log,
    such as `egress denied: …`. One step at a time.
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
        self._runner: Runner = _runner(mode, directory, limits, on_notice)
        self._disk: DiskWatch | None = None
        self._current: Supervision | None = None

    async def __aenter__(self) -> Self:
        for name in ("workspace", "home", "tmp", "etc"):
            (self.directory / name).mkdir(exist_ok=True)
        try:
            await self._runner.open()
        except BaseException:
            await self._runner.close()
            raise
        self._disk = DiskWatch(self.directory, self._limits.disk_bytes, self._runner.pid)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.close()

    def view(self, path: Path, extra: Sequence[Mount] = ()) -> str:
        """`path` on the host as steps see it, with the mounts `extra`. Raises ValueError for what no mount shows."""
        for mount in (*extra, *self._mounts):
            if path.is_relative_to(mount.source):
                target = Path(mount.target, path.relative_to(mount.source))
                return self._runner.path(str(target), str(path))
        raise ValueError(f"{path} is not visible in the sandbox")

    async def run(self, step: StepCommand, on_output: OnOutput) -> StepResult:
        """Run to the end; when this returns or raises, every process of the step is dead.

        `on_output` is awaited before more is read (backpressure). Raises InfrastructureFault when the step could not
        be started or the sandbox died, and whatever `on_output` raised.
        """
        if self._current or self._disk is None:
            raise RuntimeError("a step is running already, or the session is not open")
        self._current = supervision = Supervision(
            self._runner, self._disk, self._limits, linger_s=_LINGER_S[self._mode]
        )
        started = time.monotonic()
        try:
            code = await supervision.run(self._complete(step), on_output)
        finally:
            self._current = None
        duration_ms = int((time.monotonic() - started) * 1000)
        signal = code - 128 if 128 < code <= 192 else None
        return StepResult(supervision.reason or "exited", code, signal, duration_ms)

    async def overlay(self, lower: Path, upper: Path) -> bool:
        """From the next step on `upper`, a folder of the workspace, shows `lower` too, which no step can change.

        False where this machine cannot do that, or `lower` belongs to somebody else. `upper` alone has the changes.
        """
        if os.stat(lower).st_uid != os.geteuid():  # noqa: PTH116  one system call
            return False
        work = Path(tempfile.mkdtemp(prefix="overlay-", dir=self.directory))
        return await self._runner.overlay(lower, upper, work)

    async def cancel(self) -> None:
        """End the running step (its reason is then `canceled`); nothing when none runs."""
        if self._current:
            self._current.end("canceled")

    def _complete(self, step: StepCommand) -> StepCommand:
        return replace(step, env={**self._environment(), **step.env}, mounts=(*self._mounts, *step.mounts))

    def _environment(self) -> dict[str, str]:
        env = {"PATH": _PATH, "LANG": "C.UTF-8", "USER": "build", "LOGNAME": "build", "SHELL": "/bin/sh"}
        env |= {"HOME": self.view(self.directory / "home"), "TMPDIR": self.view(self.directory / "tmp")}
        env |= etc.registries(os.environ)
        if self._mode == "bubblewrap":
            return env | etc.ca_environment(os.environ)
        return env | {name: os.environ[name] for name in _FROM_HOST if name in os.environ}


def _runner(mode: Mode, directory: Path, limits: Limits, on_notice: Callable[[str], None]) -> Runner:
    if mode == "bubblewrap":
        return ContainedRunner(directory / "etc", limits, on_notice)
    if mode == "none":
        return DirectRunner()
    return RemoteRunner(directory / RUNNER_SOCKET, limits, on_notice if mode == "offline-container" else None)
