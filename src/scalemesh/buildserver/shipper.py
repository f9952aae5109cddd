"""Carries the log and the events to the API: numbered here, resent until acknowledged, bounded in memory.

Lines and events wait in order until the API's answer says that they are durable. A full buffer makes `line` wait, which
makes the build's pipes fill: backpressure, not loss.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from typing import TypedDict, Unpack

from scalemesh.buildserver.control.base import REFUSED, Control
from scalemesh.buildserver.lines import split
from scalemesh.buildserver.redaction import Redactor
from scalemesh.buildserver.retry import DELAYS_S
from scalemesh.core.build import Batch, BuildEvent, Claim
from scalemesh.core.clock import now_ms
from scalemesh.core.logs import Level, LogLine, Stream
from scalemesh.errors import BuildFailed, InfrastructureFault, ScaleMeshError, TooManyRequests, Unavailable

BATCH_INTERVAL_S = 0.05
BATCH_BYTES = 256 * 1024
BUFFER_BYTES = 4 * 1024**2
_LINE_OVERHEAD_BYTES = 160  # of one line's JSON
_LINE_COST_BYTES = 32  # what each counts for beside its text: a million empty lines are not a million bytes


class LineFields(TypedDict, total=False):
    """What a line may carry beside its text; a `system` line of level `info` otherwise."""

    step: str
    stream: Stream
    level: Level
    partial: bool


class Shipper:
    """Runs as a task (`run`). `lost` is set, once, to the error after which nothing can be sent any more."""

    def __init__(self, control: Control, claim: Claim, redactor: Redactor, clock: Callable[[], int] = now_ms) -> None:
        self._control = control
        self._spec = claim.spec
        self._redactor = redactor
        self._clock = clock
        self._next_seq = claim.first_seq
        self._next_event = 0
        self._log_bytes = 0
        self._lines: deque[LogLine] = deque()
        self._events: deque[BuildEvent] = deque()
        self._buffered = 0
        self._wanted = asyncio.Event()
        self._moved = asyncio.Condition()
        self._urgent = asyncio.Event()
        self.heard_at = time.monotonic()
        self.canceled = asyncio.Event()

    async def line(self, text: str, **fields: Unpack[LineFields]) -> None:
        """Appends one line and waits while the buffer is full. Raises BuildFailed past the log's limit."""
        self.note(text, **fields)
        async with self._moved:
            await self._moved.wait_for(lambda: self._buffered < BUFFER_BYTES)

    def note(self, text: str, **fields: Unpack[LineFields]) -> None:
        """`line` for what the platform itself says: little, and never too much."""
        stream = fields.get("stream", "system")
        for piece in split(self._redactor.text(text)):
            if stream != "system":
                self._count(len(piece.text.encode()))
            self._append(
                LogLine(
                    deployment=self._spec.deployment,
                    attempt=self._spec.number,
                    seq=self._next_seq,
                    ts=self._clock(),
                    stream=stream,
                    level=fields.get("level", "info"),
                    step=fields.get("step", ""),
                    text=piece.text,
                    partial=piece.partial or fields.get("partial", False),
                )
            )

    def redacted(self, text: str) -> str:
        """`text` without secrets: for what an event quotes, such as the name of a file."""
        return self._redactor.text(text)

    def event(self, make: Callable[[int], BuildEvent]) -> None:
        """Appends the event that `make` makes of its number."""
        self._events.append(make(self._next_event))
        self._next_event += 1
        self._wanted.set()
        self._urgent.set()

    async def flush(self, deadline_s: float) -> None:
        """Returns when everything is acknowledged; raises TimeoutError."""
        self._urgent.set()
        async with asyncio.timeout(deadline_s), self._moved:
            await self._moved.wait_for(lambda: not self._lines and not self._events)

    async def run(self) -> None:
        """Sends until canceled. Raises one of REFUSED, or InfrastructureFault when the API takes no more of it."""
        failures, sent_at = 0, 0.0
        while True:
            await self._wanted.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(sent_at + BATCH_INTERVAL_S - time.monotonic()):
                    await self._urgent.wait()
            sent_at = time.monotonic()
            try:
                await self._send()
                failures = 0
            except (Unavailable, TooManyRequests):
                await asyncio.sleep(DELAYS_S[min(failures, len(DELAYS_S) - 1)])
                failures += 1

    async def _send(self) -> None:
        batch = self._batch()
        try:
            answer = await self._control.send(batch)
        except (*REFUSED, Unavailable, TooManyRequests):
            raise
        except ScaleMeshError as error:
            raise InfrastructureFault(
                f"The API takes no more of the log: {error.message}", code="log_refused"
            ) from error
        self.heard_at = time.monotonic()
        if answer.cancel:
            self.canceled.set()
        await self._acknowledge(answer.next_seq, answer.next_event)

    def _batch(self) -> Batch:
        lines: list[LogLine] = []
        size = 0
        for line in self._lines:
            size += len(line.text) + _LINE_OVERHEAD_BYTES
            if lines and size > BATCH_BYTES:
                break
            lines.append(line)
        # An event goes only with or after the lines before it, so that a reader never sees an end before its reason.
        return Batch(lines=lines, events=list(self._events) if len(lines) == len(self._lines) else [])

    async def _acknowledge(self, next_seq: int, next_event: int) -> None:
        if self._lines and next_seq < self._lines[0].seq:
            raise InfrastructureFault(f"The API has lost lines from {next_seq} on.", code="log_refused")
        while self._lines and self._lines[0].seq < next_seq:
            self._buffered -= len(self._lines.popleft().text) + _LINE_OVERHEAD_BYTES
        while self._events and self._events[0].n < next_event:
            self._events.popleft()
        if not self._lines and not self._events:
            self._wanted.clear()
            self._urgent.clear()
        async with self._moved:
            self._moved.notify_all()

    def _append(self, line: LogLine) -> None:
        self._lines.append(line)
        self._next_seq += 1
        self._buffered += len(line.text) + _LINE_OVERHEAD_BYTES
        self._wanted.set()
        if self._buffered > BATCH_BYTES:
            self._urgent.set()

    def _count(self, size: int) -> None:
        """The limit is on what the build writes; the platform's own lines about its end still fit."""
        self._log_bytes += size + _LINE_COST_BYTES
        limit = self._spec.limits.log_bytes
        if self._log_bytes > limit:
            raise BuildFailed(
                f"The build wrote more than {limit // 1024**2} MB of log.",
                code="log_limit",
                hint="Make its commands quieter, for example with --silent.",
            )
