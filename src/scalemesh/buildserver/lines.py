"""Output bytes as log lines: newlines, carriage returns, over-long lines, broken UTF-8."""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from scalemesh.core.logs import MAX_LINE_BYTES, Level

PROGRESS_INTERVAL_S = 1.0  # how often a line that overwrites itself is shown
_BREAK = re.compile(rb"\r+\n?|\n")  # takes a whole run at once: a flood of \r must not cost its square
_LEVELS: tuple[tuple[re.Pattern[str], Level], ...] = (
    (re.compile(r"(?:\x1b\[[\d;]*m|\W)*(?:npm |yarn )?(?:ERR!|error\b)", re.IGNORECASE), "error"),
    (re.compile(r"(?:\x1b\[[\d;]*m|\W)*(?:npm |yarn )?(?:warn(?:ing)?\b)", re.IGNORECASE), "warn"),
)


@dataclass(frozen=True)
class Piece:
    """A line, or with `partial` a part of one that the next piece continues."""

    text: str
    partial: bool = False


class LineAssembler:
    """One stream's bytes in, pieces out. `\\r` starts a line over: of what overwrites itself, a sample is kept."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._buffer = b""
        self._monotonic = monotonic
        self._shown_at = -PROGRESS_INTERVAL_S

    def feed(self, data: bytes) -> Iterator[Piece]:
        self._buffer += data
        start = 0
        for match in _BREAK.finditer(self._buffer):
            line = self._buffer[start : match.start()]
            ends = match[0].endswith(b"\n")
            if not ends and match.end() == len(self._buffer):
                self._buffer = self._buffer[: match.start() + 1]  # what comes next says what this one is
                break
            if ends or self._is_due(line):
                yield from _pieces(line)
            start = match.end()
        self._buffer = self._buffer[start:]
        while len(self._buffer) > MAX_LINE_BYTES + 4:
            cut = _boundary(self._buffer, MAX_LINE_BYTES)
            yield from _pieces(self._buffer[:cut], partial=True)
            self._buffer = self._buffer[cut:]

    def finish(self) -> Iterator[Piece]:
        """What is left without a newline."""
        rest, self._buffer = self._buffer.rstrip(b"\r"), b""
        if rest:
            yield from _pieces(rest)

    def _is_due(self, line: bytes) -> bool:
        now = self._monotonic()
        if not line or now - self._shown_at < PROGRESS_INTERVAL_S:
            return False
        self._shown_at = now
        return True


def level_of(text: str) -> Level:
    """`warn` and `error` where a line says so itself."""
    return next((level for pattern, level in _LEVELS if pattern.match(text[:200])), "info")


def split(text: str, limit: int = MAX_LINE_BYTES) -> list[Piece]:
    """One line's text as pieces of at most `limit` bytes; all but the last are partial."""
    data = text.encode()
    pieces = []
    while len(data) > limit:
        cut = _boundary(data, limit)
        pieces.append(Piece(data[:cut].decode(), partial=True))
        data = data[cut:]
    return [*pieces, Piece(data.decode())]


def _pieces(line: bytes, *, partial: bool = False) -> Iterator[Piece]:
    # NUL is valid UTF-8 that not every archive can store.
    for piece in split(line.decode(errors="replace").replace("\0", "\ufffd")):
        yield Piece(piece.text, partial=piece.partial or partial)


def _boundary(data: bytes, at: int) -> int:
    """The last place at or before `at` that does not cut a UTF-8 character in two."""
    for cut in range(at, max(0, at - 4), -1):
        if data[cut] & 0xC0 != 0x80:
            return cut
    return at
