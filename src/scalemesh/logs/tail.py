"""A deployment's log from a number on, archived and live lines joined without a gap or a repeat.

Subscribe first; read the archive until it is empty; then follow the live lines, dropping lower numbers. A jump, or a
quiet moment, sends us back to the archive.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from itertools import takewhile

import structlog

from scalemesh.core.logs import LogLine
from scalemesh.logs.archive.base import Archive
from scalemesh.logs.bus.base import Bus

PAGE_LINES = 1000

End = Callable[[], Awaitable[int | None]]
"""Asked when a log is quiet: None while more may come; else the number after its last line (Deployment.log_next)."""

log = structlog.get_logger(__name__)


async def tail(
    archive: Archive,
    bus: Bus,
    deployment: str,
    after: int = -1,
    *,
    end: End,
    poll_s: float = 0.5,
    gap_s: float = 5.0,
) -> AsyncGenerator[LogLine, None]:
    """Every line with `seq > after`, in order, until `end` says that the last one has been given.

    A number that the archive lacks while it has later ones is waited for during `gap_s`, and then skipped: it was never
    acknowledged, and its writer is gone. Raises Unavailable when the bus closes; tail again after the last number.
    """
    expected = after + 1
    stuck = _Stuck(deployment, gap_s)
    async with bus.subscribe(deployment) as live:
        while True:
            page = await archive.read(deployment, expected - 1, PAGE_LINES)
            for line in (run := page if stuck.too_long(expected) else _contiguous(page, expected)):
                yield line
            if run:
                expected = run[-1].seq + 1
                continue
            last = await end()
            if last is not None and (expected >= last or stuck.too_long(expected)):
                return
            if page or last is not None:
                stuck.at(expected)
            while lines := [line for line in await live.get(poll_s) if line.seq >= expected]:
                for line in (run := _contiguous(lines, expected)):
                    yield line
                expected += len(run)
                if len(run) < len(lines):
                    break


def _contiguous(lines: Sequence[LogLine], first: int) -> list[LogLine]:
    """The lines from number `first` on, up to the first gap."""
    numbered = takewhile(lambda pair: pair[1].seq == pair[0], enumerate(lines, start=first))
    return [line for _, line in numbered]


class _Stuck:
    """For how long the same number has been waited for although something must be at or above it."""

    def __init__(self, deployment: str, limit_s: float) -> None:
        self._deployment = deployment
        self._limit_s = limit_s
        self._seq = -1
        self._since = 0.0

    def at(self, seq: int) -> None:
        if seq != self._seq:
            self._seq, self._since = seq, asyncio.get_running_loop().time()

    def too_long(self, seq: int) -> bool:
        given_up = seq == self._seq and asyncio.get_running_loop().time() - self._since >= self._limit_s
        if given_up:
            log.warning("log line never arrived", deployment=self._deployment, seq=seq)
        return given_up
