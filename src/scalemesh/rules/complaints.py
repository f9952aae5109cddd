"""What is wrong with a rule file, and where."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


class BadRule(Exception):
    """One rule cannot be used; the message says why. Never leaves this package: it becomes a complaint."""


@dataclass
class Complaints:
    """Complaints about one file, as `file:line: what is wrong`; at most `MAX`."""

    file: str
    lines: list[str] = field(default_factory=list)

    MAX = 100

    def add(self, line: int, text: str) -> None:
        if len(self.lines) < self.MAX:
            self.lines.append(f"{self.file}:{line}: {text}")

    @contextmanager
    def about(self, line: int) -> Iterator[None]:
        """What is raised inside is noted, and the rule left out."""
        try:
            yield
        except BadRule as problem:
            self.add(line, str(problem))
