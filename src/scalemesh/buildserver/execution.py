"""One command of a step: run by the sandbox, its output redacted, cut into lines and sent as it comes."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scalemesh.buildserver import failures, redaction
from scalemesh.buildserver.lines import LineAssembler, Piece, level_of
from scalemesh.buildserver.redaction import Redactor
from scalemesh.buildserver.runner import Runner
from scalemesh.buildserver.shipper import Shipper
from scalemesh.core.build import Limits, Step
from scalemesh.core.logs import Stream
from scalemesh.egress.guard import Guard
from scalemesh.errors import BuildFailed
from scalemesh.sandbox.step import Mount, StepCommand, StepResult

_NO_TIME_S = 0.001


@dataclass(frozen=True)
class Ended:
    """`tail` is the end of the redacted output, both streams; `denied` what egress refused meanwhile."""

    result: StepResult
    tail: str
    denied: list[str]


class Executor:
    """Runs the commands of one build, all within one deadline. `notice` takes what the session has to say."""

    def __init__(self, runner: Runner, shipper: Shipper, redactor: Redactor, limits: Limits) -> None:
        self.runner = runner
        self._shipper = shipper
        self._redactor = redactor
        self._limits = limits
        self._deadline = time.monotonic() + limits.build_timeout_s
        self._denied: list[str] = []
        self._step: Step | None = None

    def notice(self, line: str) -> None:
        self._denied.append(line)
        self._shipper.note(line, step=self._step or "", level="warn")

    async def run(
        self,
        step: Step,
        argv: Sequence[str],
        *,
        cwd: str,
        env: Mapping[str, str],
        egress: Guard | None,
        mounts: tuple[Mount, ...] = (),
        show: bool = True,
    ) -> Ended:
        """How the command ended; with `show=False` its output is only kept. Raises BuildFailed at a limit."""
        self._step, self._denied = step, []
        output = _Output(self._shipper, self._redactor, step, show=show)
        left_s = max(_NO_TIME_S, self._deadline - time.monotonic())
        command = StepCommand(tuple(argv), cwd=cwd, timeout_s=left_s, env=env, mounts=mounts, egress=egress)
        result = await self.runner.run(command, output.feed)
        await output.finish()
        if limit := failures.of_limit(result, self._limits):
            raise limit
        return Ended(result, output.tail.decode(errors="replace"), self._denied)

    async def shell(self, step: Step, command: str, *, cwd: str, env: Mapping[str, str], egress: Guard | None) -> None:
        """A command that the project's owner wrote. Raises BuildFailed unless it ends with 0."""
        ended = await self._shell(step, command, cwd, env, egress)
        if not ended.result.ok:
            given = (step, command, ended.result, self._limits, ended.tail, ended.denied, self.runner.workspace)
            raise await asyncio.to_thread(failures.of_command, *given)

    async def answer(self, step: Step, command: str, *, cwd: str, env: Mapping[str, str], egress: Guard | None) -> int:
        """The same for a command whose exit code is an answer, whatever it is. Raises BuildFailed at a limit."""
        return (await self._shell(step, command, cwd, env, egress)).result.exit_code

    async def _shell(self, step: Step, command: str, cwd: str, env: Mapping[str, str], egress: Guard | None) -> Ended:
        await self._shipper.line(f"$ {command}", step=step)
        return await self.run(step, ("sh", "-c", command), cwd=cwd, env=env, egress=egress)


class _Output:
    """Both streams of one command."""

    def __init__(self, shipper: Shipper, redactor: Redactor, step: Step, *, show: bool) -> None:
        self._shipper = shipper
        self._step = step
        self._show = show
        self._streams: dict[Stream, tuple[redaction.Stream, LineAssembler]] = {
            name: (redaction.Stream(redactor), LineAssembler()) for name in ("stdout", "stderr")
        }
        self.tail = b""

    async def feed(self, name: Stream, chunk: bytes) -> None:
        redacted, assembler = self._streams[name]
        clean = redacted.feed(chunk)
        self.tail = (self.tail + clean)[-failures.TAIL_BYTES :]
        await self._send_all(name, [*assembler.feed(clean)])

    async def finish(self) -> None:
        for name, (redacted, assembler) in self._streams.items():
            rest = redacted.finish()
            self.tail += rest
            await self._send_all(name, [*assembler.feed(rest), *assembler.finish()])

    async def _send_all(self, stream: Stream, pieces: Sequence[Piece]) -> None:
        """Past the log's limit the log says how many lines it lacks; what is still in the pipes, nobody reads."""
        for sent, piece in enumerate(pieces):
            try:
                await self._send(stream, piece)
            except BuildFailed:
                dropped = len(pieces) - sent
                words = "1 line" if dropped == 1 else f"{dropped} lines"
                self._shipper.note(f"… {words} dropped: limit", step=self._step, level="warn")
                raise

    async def _send(self, stream: Stream, piece: Piece) -> None:
        if self._show:
            level = level_of(piece.text)
            await self._shipper.line(piece.text, step=self._step, stream=stream, level=level, partial=piece.partial)
