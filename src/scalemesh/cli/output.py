"""What people and machines read: tables and colour in a terminal, JSON with `--json`, errors on stderr."""

import json
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from scalemesh.errors import ScaleMeshError

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]

STATE_STYLES = {
    "queued": "dim",
    "initializing": "cyan",
    "building": "cyan",
    "ready": "green",
    "error": "bold red",
    "canceled": "yellow",
}
_SGR = re.compile(r"\x1b\[[0-9;]*m")
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|.)|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_HIDDEN = re.compile(r"[\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")

_UNWRAPPED = 4096  # columns, where no person looks: a pipe gets one line per row
console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _UNWRAPPED)
stderr = Console(stderr=True, highlight=False, soft_wrap=True)


def as_json(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False), flush=True)


def error(problem: ScaleMeshError) -> None:
    """One line on stderr: what was wrong, then what to do."""
    message = safe(problem.message, keep_colour=False).rstrip()
    line = Text.assemble(("error: ", "bold red"), message)
    if problem.hint:
        line.append(
            f"{'' if message.endswith(('.', '!', '?')) else '.'} {safe(problem.hint, keep_colour=False)}", "dim"
        )
    line.plain = line.plain.replace("\n", " ")
    stderr.print(line)


def table(columns: Sequence[str], rows: Iterable[Sequence[Text | str]], *, empty: str) -> None:
    """A table, or what to do while there is nothing to show. A row is one line, so that an id or URL stays whole."""
    listed = [[_cell(cell) for cell in row] for row in rows]
    if not listed:
        console.print(Text(empty, "dim"))
        return
    grid = [[Text(column, "dim") for column in columns], *listed]
    widths = [max(cell.cell_len for cell in column) for column in zip(*grid, strict=True)]
    for row in grid if any(columns) else listed:
        for cell, width in zip(row[:-1], widths, strict=False):
            cell.pad_right(width - cell.cell_len)
        console.print(Text("  ").join(row), no_wrap=True, overflow="ignore", crop=False)


def _cell(given: Text | str) -> Text:
    return given if isinstance(given, Text) else Text(safe(given, keep_colour=False).replace("\n", "↵"))


def state(name: str) -> Text:
    return Text(name, STATE_STYLES.get(name, ""))


def age(timestamp: str | None) -> str:
    """`4m ago`, from RFC 3339."""
    if not timestamp:
        return "–"
    seconds = int((datetime.now(UTC) - datetime.fromisoformat(timestamp)).total_seconds())
    return f"{duration(max(seconds, 0))} ago"


def duration(seconds: float) -> str:
    """`4.2s`, `3m 12s`, `5h 2m`, `9d`."""
    if seconds < 60:
        return f"{seconds:.1f}s" if isinstance(seconds, float) else f"{seconds}s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes}m" if hours < 48 else f"{hours // 24}d"


def safe(text: Any, *, keep_colour: bool = True) -> str:
    """Text of a stranger's for this terminal: colours may stay, every other escape and control character goes, and
    what would change the order of characters, or not be seen, is named."""
    named = _HIDDEN.sub(lambda match: f"<U+{ord(match[0]):04X}>", str(text))
    if not keep_colour or not console.is_terminal:
        return _ESCAPES.sub("", _SGR.sub("", named))
    kept = _ESCAPES.sub(lambda match: match[0] if _SGR.fullmatch(match[0]) else "", named)
    return f"{kept}\x1b[0m" if "\x1b" in kept else kept


def place(queue: dict[str, Any]) -> str:
    """Where a deployment stands among those that wait, and for how long more."""
    wait = queue["expected_wait_s"]
    return f"position {queue['position']}" + ("" if wait is None else f", about {duration(wait)} to wait")


def log_line(line: dict[str, Any]) -> None:
    """One line of a build log, as its build would have printed it."""
    text = safe(line["text"])
    if line.get("stream") == "system":
        text = f"\x1b[2m{text}\x1b[0m" if console.is_terminal and line.get("level") == "info" else text
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def hit(found: dict[str, Any]) -> None:
    """A search hit between its neighbours, each behind `deployment:number`, as grep does it: `-` for neighbours."""
    shown = [
        *((line, "-") for line in found["before"]),
        (found["line"], ":"),
        *((line, "-") for line in found["after"]),
    ]
    for line, mark in shown:
        text = _highlighted(line["text"], found["ranges"]) if mark == ":" else safe(line["text"], keep_colour=False)
        sys.stdout.write(f"{found['deployment']}{mark}{line['seq'] + 1}{mark}{text}\n")
    if len(shown) > 1:
        sys.stdout.write("--\n")


def _highlighted(text: str, ranges: Iterable[Sequence[int]]) -> str:
    if not console.is_terminal:
        return safe(text, keep_colour=False)
    done, at = "", 0
    for start, end in ranges:
        kept, hit = safe(text[at:start], keep_colour=False), safe(text[start:end], keep_colour=False)
        done, at = f"{done}{kept}\x1b[1;31m{hit}\x1b[0m", end
    return done + safe(text[at:], keep_colour=False)
