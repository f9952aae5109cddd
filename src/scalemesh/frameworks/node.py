"""Which Node: an exact version, a prefix (`22`, `22.4`), taken from what the project says."""

import re
from collections.abc import Iterable

from scalemesh.errors import BuildFailed
from scalemesh.frameworks.files import Files, Package

DEFAULT = "24"
# The newest release of each line that exists as a wheel; a range is tried on these, the default first.
LINES = {"24": (24, 19, 0), "22": (22, 20, 0), "20": (20, 18, 0), "18": (18, 18, 2)}
_NAMES = {"lts/*": "24", "lts": "24", "lts/krypton": "24", "lts/jod": "22", "lts/iron": "20", "lts/hydrogen": "18",
          "node": "24", "latest": "24", "current": "24", "stable": "24", "*": DEFAULT, "x": DEFAULT}  # fmt: skip
_PREFIX = re.compile(r"v?(\d+)(?:\.(\d+|x|\*))?(?:\.(\d+|x|\*))?")
_COMPARATOR = re.compile(r"(>=|<=|>|<|=|\^|~>?)?\s*v?(\d+|x|\*)(?:\.(\d+|x|\*))?(?:\.(\d+|x|\*))?(?:-[\w.-]+)?")
_NEWEST = 10_000

Version = tuple[int, int, int]


def find(files: Files, package: Package, chosen: tuple[str, str] | None) -> tuple[str, str]:
    """(version, where it came from); `chosen` is the owner's. Raises BuildFailed where no Node will do."""
    for wanted, source in ([chosen] if chosen else []) + list(_stated(files, package)):
        return resolve(wanted, source), source
    return DEFAULT, "default"


def resolve(wanted: str, source: str) -> str:
    """A range becomes the preferred line that satisfies it; a prefix or exact version stays."""
    text = wanted.strip().lower()
    if text in _NAMES:
        return _NAMES[text]
    if match := _PREFIX.fullmatch(text):
        return ".".join(part for part in match.groups() if part and part.isdigit())
    ranges = [_parse_range(part) for part in text.split("||")]
    for major, newest in LINES.items():
        if any(low <= newest < high for low, high in ranges):
            return major
    # None of the newest will do: the newest that the range itself names, e.g. `~22.4.1`.
    named = [low for low, high in ranges if (0, 0, 0) < low < high]
    if not named:
        raise BuildFailed(
            f"{source} asks for Node {wanted!r}, which is none that can be installed.",
            code="node_version_unsupported",
            hint=f'Ask for one of {", ".join(sorted(LINES))}, for example "engines": {{"node": "{DEFAULT}.x"}}.',
            field=source,
        )
    return ".".join(map(str, max(named)))


def _stated(files: Files, package: Package) -> Iterable[tuple[str, str]]:
    engines, volta = package.raw.get("engines"), package.raw.get("volta")
    if isinstance(engines, dict) and isinstance(engines.get("node"), str) and engines["node"].strip():
        yield engines["node"], "package.json"
    for name in (".nvmrc", ".node-version"):
        for line in (files.text(name) or "").splitlines():
            if stated := line.partition("#")[0].strip():
                yield stated, name
                break
    if listed := files.find(".tool-versions", r"^node(?:js)?[ \t]+([^\s#]+)"):
        yield listed, ".tool-versions"
    if isinstance(volta, dict) and isinstance(volta.get("node"), str):
        yield volta["node"], "package.json"


def _parse_range(text: str) -> tuple[Version, Version]:
    """`[low, high)` of comparators joined by spaces, or of `a - b`. What is not understood allows nothing."""
    low: Version = (0, 0, 0)
    high: Version = (_NEWEST, 0, 0)
    if match := re.fullmatch(r"\s*(\S+)\s+-\s+(\S+)\s*", text):
        text = f">={match[1]} <={match[2]}"
    if _COMPARATOR.sub("", text).strip():
        return high, low
    for match in _COMPARATOR.finditer(text):
        least, most = _bounds(match[1] or "", [match[2], match[3], match[4]])
        low, high = max(low, least), min(high, most)
    return low, high


def _bounds(operator: str, parts: list[str | None]) -> tuple[Version, Version]:
    numbers = [int(p) for p in parts if p and p.isdigit()]
    given = numbers[: next((i for i, p in enumerate(parts) if not (p and p.isdigit())), 3)]
    least = _padded(given)
    after = _after(given)
    if operator == "^":
        after = _after(given[:1])
    elif operator.startswith("~"):
        after = _after(given[:2])
    nothing, everything = (0, 0, 0), (_NEWEST, 0, 0)
    return {
        ">=": (least, everything),
        ">": (after, everything),
        "<": (nothing, least),
        "<=": (nothing, after),
    }.get(operator, (least, after))


def _padded(numbers: list[int]) -> Version:
    major, minor, patch = [*numbers, 0, 0, 0][:3]
    return major, minor, patch


def _after(numbers: list[int]) -> Version:
    """The first version that no longer starts with `numbers`."""
    return _padded([*numbers[:-1], numbers[-1] + 1]) if numbers else (_NEWEST, 0, 0)
