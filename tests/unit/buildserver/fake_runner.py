"""A sandbox session of its own making: answers each command as a test says."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from scalemesh.sandbox.output import OnOutput
from scalemesh.sandbox.step import StepCommand, StepResult

Act = Callable[["FakeRunner", StepCommand, OnOutput], Awaitable[StepResult | None]]
COMMIT, TREE = "a" * 40, "b" * 40


@dataclass
class FakeRunner:
    """`files` is what a checkout leaves. `acts` answer shell commands; None is success."""

    directory: Path
    files: dict[str, str] = field(default_factory=lambda: {"index.html": "<h1>hi</h1>"})
    acts: dict[str, Act] = field(default_factory=dict)
    commands: list[StepCommand] = field(default_factory=list)
    running: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        for name in ("workspace", "home"):
            (self.directory / name).mkdir()

    @property
    def workspace(self) -> Path:
        return self.directory / "workspace"

    def view(self, path: Path) -> str:
        return str(path)

    async def overlay(self, lower: Path, upper: Path) -> bool:
        return False

    async def run(self, step: StepCommand, on_output: OnOutput) -> StepResult:
        self.commands.append(step)
        self.running.set()
        if step.argv[0] == "git":
            return await self._git(step, on_output)
        act = self.acts.get(step.argv[-1])
        return (await act(self, step, on_output) if act else None) or result()

    async def _git(self, step: StepCommand, on_output: OnOutput) -> StepResult:
        if act := self.acts.get(step.argv[1]):
            return await act(self, step, on_output) or result()
        if step.argv[1] == "checkout":
            self.write(self.files)
        if step.argv[1] == "log":
            await on_output("stdout", f"Ship it\n\nAll of it\n\nAda\n{COMMIT}\n{TREE}\n".encode())
        return result()

    def write(self, files: dict[str, str]) -> None:
        for name, content in files.items():
            path = self.workspace / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)


def result(exit_code: int = 0, reason: str = "exited") -> StepResult:
    return StepResult(reason=reason, exit_code=exit_code, signal=None, duration_ms=1)  # type: ignore[arg-type]


def says(text: str, exit_code: int = 0, stream: str = "stderr") -> Act:
    async def act(_: FakeRunner, __: StepCommand, on_output: OnOutput) -> StepResult:
        await on_output(stream, text.encode())  # type: ignore[arg-type]
        return result(exit_code)

    return act


def makes(files: dict[str, str]) -> Act:
    async def act(runner: FakeRunner, _: StepCommand, __: OnOutput) -> None:
        runner.write(files)

    return act


async def hangs(_: FakeRunner, __: StepCommand, ___: OnOutput) -> None:
    await asyncio.Event().wait()
