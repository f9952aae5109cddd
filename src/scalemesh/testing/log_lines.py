"""Log lines by number, for tests."""

from collections.abc import Iterable

from scalemesh.core.logs import LogLine

DEPLOYMENT = "dpl_01jd0000000000000000000000"


def lines(*numbers: int, deployment: str = DEPLOYMENT, attempt: int = 1) -> list[LogLine]:
    """One line for each number; the same number always gives the same line."""
    return [
        LogLine(deployment=deployment, attempt=attempt, seq=seq, ts=1_700_000_000_000 + seq, text=f"line {seq}")
        for seq in numbers
    ]


def numbers(lines: Iterable[LogLine]) -> list[int]:
    return [line.seq for line in lines]
