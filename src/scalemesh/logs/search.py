"""What is searched for in logs: words, a substring or a regular expression (RE2: linear time), and what hits show."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any, Literal

from scalemesh.core.logs import Level, LogLine, Stream
from scalemesh.errors import InvalidInput

Mode = Literal["words", "substring", "regex"]
MAX_QUERY = 500
MAX_SPANS = 100
SEARCH_S = 10
TOO_LONG = "search_too_long"
LIKE = str.maketrans({"%": r"\%", "_": r"\_", "\\": r"\\"})
"""For str.translate: what LIKE would read as a pattern, escaped with a backslash."""
# A word may follow a colour's escape, whose last letter is no part of it.
_BEFORE_WORD = r"(?:^|[^\pL\pN_]|\x1b\[[0-9;]*m)"
_INDEXED = re.compile(r"[\x20-\x7e]{3,}")
# One of an expression's parts: a character, or what stands for others; then how often.
_PART = re.compile(
    r"(?:(?P<plain>[^\\.^$*+?{}\[\]()|]|\\[!-/:-@\[-^`{-~])|[.^$]|\\[dDwWsSbB]|\[\^?\]?(?:[^\]\[\\]|\\.)*\])"
    r"(?P<repeated>(?:[*+?]|\{[\d,]*\})\??)?",
    re.DOTALL,
)
_AFTER_WORD = r"(?:$|[^\pL\pN_])"


@dataclass(frozen=True)
class Search:
    """All that is given must hold. `since` ≤ ts < `until`, UTC milliseconds. Words and substrings ignore case."""

    text: str = ""
    mode: Mode = "words"
    level: Level | None = None
    step: str | None = None
    stream: Stream | None = None
    since: int | None = None
    until: int | None = None

    @cached_property
    def patterns(self) -> Sequence[str]:
        """RE2: every one must match; what is highlighted is group 1. Raises InvalidInput."""
        if len(self.text) > MAX_QUERY:
            raise InvalidInput(f"q: at most {MAX_QUERY} characters", code="invalid_search", field="q")
        if not self.text.strip():
            return []
        if self.mode == "regex":
            return [f"({self.text})"]
        if self.mode == "substring":
            return [f"(?i)({_quoted(self.text)})"]
        return [f"(?i){_BEFORE_WORD}({_quoted(word)}){_AFTER_WORD}" for word in self.text.split()]

    @cached_property
    def literals(self) -> Sequence[str]:
        """Lower-case ASCII texts of three and more characters that every hit contains: for an index. May be none."""
        if self.mode == "regex":
            parts = _literals_of(self.text)
        else:
            parts = [self.text] if self.mode == "substring" else self.text.split()
        return [run.lower() for part in parts for run in _INDEXED.findall(part)]

    def check(self) -> None:
        """Raises InvalidInput for an expression that RE2 does not take."""
        self._compiled  # noqa: B018

    def matches(self, line: LogLine) -> bool:
        return (
            (self.level is None or line.level == self.level)
            and (self.step is None or line.step == self.step)
            and (self.stream is None or line.stream == self.stream)
            and (self.since is None or line.ts >= self.since)
            and (self.until is None or line.ts < self.until)
            and self.matches_text(line.text)
        )

    def matches_text(self, text: str) -> bool:
        return all(pattern.search(text) for pattern in self._compiled)

    def ranges(self, text: str) -> list[tuple[int, int]]:
        """What to highlight, in order and apart: (start, end) in characters; the first MAX_SPANS of each pattern."""
        found = sorted(span for pattern in self._compiled for span in islice(_spans(pattern, text), MAX_SPANS))
        apart: list[tuple[int, int]] = []
        for start, end in found:
            if apart and start <= apart[-1][1]:
                apart[-1] = (apart[-1][0], max(end, apart[-1][1]))
            elif end > start:
                apart.append((start, end))
        return apart

    @cached_property
    def _compiled(self) -> Sequence[Any]:
        if self.mode == "regex" and self.patterns:
            _compile(self.text)  # by itself: `a)(b` is no expression
        return [_compile(pattern) for pattern in self.patterns]


def _compile(pattern: str) -> Any:
    import re2

    options = re2.Options()
    options.log_errors = False
    options.max_mem = 8 << 20
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        why = error.args[0].decode() if isinstance(error.args[0], bytes) else str(error)
        raise InvalidInput(
            f"q: not a regular expression: {why}",
            code="invalid_regex",
            field="q",
            hint="The syntax is RE2's: https://github.com/google/re2/wiki/Syntax",
        ) from error


def too_long() -> InvalidInput:
    return InvalidInput(
        f"q: searching took more than {SEARCH_S} s",
        code=TOO_LONG,
        field="q",
        hint="Search one deployment, a shorter time, or for a word of three letters and more.",
    )


def _quoted(text: str) -> str:
    """re.escape speaks Python's dialect; RE2's own knows every character."""
    return re.sub(r"([^\w\s])", r"\\\1", text, flags=re.ASCII) if text.isascii() else _quoted_unicode(text)


def _quoted_unicode(text: str) -> str:
    return "".join(character if not character.isascii() else _quoted(character) for character in text)


def _literals_of(expression: str) -> list[str]:
    """Plain runs that an expression needs. Cautious: none where it has alternatives, groups or flags."""
    runs, end = [""], 0
    for part in _PART.finditer(expression):
        if part.start() != end:
            return []
        end = part.end()
        if part["plain"] and not part["repeated"]:
            runs[-1] += part["plain"][-1]
        else:
            runs.append("")
    return runs if end == len(expression) else []


def _spans(pattern: Any, text: str) -> Iterator[tuple[int, int]]:
    """Not `finditer`: what ends one word may begin the next."""
    at = 0
    while at <= len(text) and (match := pattern.search(text, at)):
        start, end = match.span(1)
        yield start, end
        at = max(end, start + 1)
