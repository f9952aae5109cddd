"""Sites of the golden cases: `tests/golden/rules/<case>/` holds rule files, `site.txt` (paths) and `expected.txt`.

A line of `expected.txt` is `[METHOD] TARGET [| Name: value …] => ANSWER`; `!` lines are the complaints, in order.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scalemesh.core.build import BlobRef
from scalemesh.core.decision import Decision
from scalemesh.core.manifest import Entry
from scalemesh.rules.decide import decide
from scalemesh.rules.matching import Ready, Request
from scalemesh.rules.read import Parsed, read_rules
from scalemesh.rules.targets import parse_path

FOLDER = Path(__file__).parent / "golden" / "rules"
ENTRY = Entry(identity=BlobRef(sha256="a" * 64, size=1), type="text/html")


def parse(files: dict[str, str], *paths: str) -> Parsed:
    def read(name: str) -> bytes | None:
        return files[name].encode() if name in files else None

    return read_rules(read, read, lambda path: path in paths)


@dataclass
class Site:
    parsed: Parsed
    files: dict[str, Entry]

    def __post_init__(self) -> None:
        self._ready = Ready(self.parsed.rules)

    def answer(self, target: str, method: str = "GET", headers: dict[str, str] | None = None) -> Decision:
        raw, _, query = target.partition("?")
        path = parse_path(raw.encode())
        if path is None:
            return Decision(status=400)
        fields = {name.lower().encode(): value.encode() for name, value in (headers or {}).items()}
        host = fields.get(b"host", b"").decode()
        request = Request(path=path, query=query, method=method, host=host, headers=fields)
        return decide(request, self.files.get, self._ready)


def site(files: dict[str, str], *paths: str) -> Site:
    return Site(parse(files, *paths), dict.fromkeys(paths, ENTRY))


def cases() -> Iterator[Path]:
    yield from sorted(path.parent for path in FOLDER.glob("*/expected.txt"))


def load(case: Path) -> Site:
    listed = (case / "site.txt").read_text().split()
    files = {p.name: p.read_text() for p in case.iterdir() if p.name not in {"site.txt", "expected.txt"}}
    return site(files, *listed)


def shown(decision: Decision) -> str:
    """`308 → /new` or `200 /index.html`, then headers, then the lines that said so."""
    parts = [str(decision.status)]
    parts += [f"→ {decision.location}"] if decision.location is not None else []
    parts += [f"from {decision.proxy_to}"] if decision.proxy_to is not None else []
    parts += [decision.file] if decision.file else []
    parts += [f"{{{name}: {value}}}" for name, value in decision.headers]
    parts += [f"{{!{name}}}" for name in decision.without]
    parts += [f"[{each.source}:{each.line}]" for each in decision.matched]
    return " ".join(parts)


def answers(case: Path) -> list[str]:
    """The case's `expected.txt` as it would be written by the code of now."""
    loaded = load(case)
    lines = [f"! {complaint}" for complaint in loaded.parsed.complaints]
    for line in (case / "expected.txt").read_text().splitlines():
        if line.startswith("!") or not line.strip():
            continue
        request = line.partition(" => ")[0]
        method, target, headers = asked(request)
        lines.append(f"{request} => {shown(loaded.answer(target, method, headers))}")
    return lines


def asked(line: str) -> tuple[str, str, dict[str, str]]:
    """Method, target and headers of `[METHOD] TARGET [| Name: value …]`."""
    words, _, fields = line.partition(" | ")
    method, _, target = words.rpartition(" ")
    return method or "GET", target, dict(pair.split(": ", 1) for pair in fields.split(" | ") if pair)
