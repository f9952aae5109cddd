"""Rules of this code base that a grep can hold."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))


def offenders(pattern: str, files: list[Path] = SOURCES) -> list[str]:
    found = re.compile(pattern)
    return [
        f"{path.relative_to(ROOT)}:{number}"
        for path in files
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if found.search(line)
    ]


def test_there_is_something_to_look_at() -> None:
    assert len(SOURCES) > 50


def test_no_shell_of_ours() -> None:
    assert offenders(r"shell=True|create_subprocess_shell|os\.system\(|os\.popen\(") == []


def test_no_evaluation_of_text() -> None:
    assert offenders(r"(?<![\w.])(eval|exec)\(|pickle\.loads|yaml\.load\(") == []


def test_templates_escape() -> None:
    templates = sorted((ROOT / "src").rglob("*.html"))
    assert templates
    assert offenders(r"\|\s*safe\b|autoescape false|<script>|style=\"| on[a-z]+=\"", templates) == []


def test_no_module_bucket() -> None:
    assert [str(p) for p in SOURCES if p.stem in {"utils", "common", "helpers", "models", "misc"}] == []


def test_constraints_name_no_address() -> None:
    assert "://" not in (ROOT / "constraints.txt").read_text()
