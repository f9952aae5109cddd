"""The golden cases of rules, packed and served by a real edge: it answers as `decide` says."""

from pathlib import Path

import pytest

from tests.integration.rules.test_rules_served import Preview
from tests.rules_cases import Site, asked, cases, load

pytestmark = pytest.mark.matrix


def laid_out(case: Path, folder: Path) -> Path:
    """The site's files, each holding its own path, and its rule files."""
    for path in (case / "site.txt").read_text().split():
        file = folder / path.removeprefix("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path)
    for rules in case.iterdir():
        if rules.name not in {"site.txt", "expected.txt"}:
            (folder / rules.name).write_bytes(rules.read_bytes())
    return folder


def differences(site: Site, preview: Preview, line: str) -> list[str]:
    method, target, fields = asked(line)
    decided = site.answer(target, method, fields)
    if decided.proxy_to is not None or "host" in fields:  # no such site is there; the preview's host is its own
        return []
    answer = preview.get(target, method, **{name.replace("-", "_"): value for name, value in fields.items()})
    wanted = {"status": decided.status, "location": decided.location, "body": decided.file} | dict(decided.headers)
    got = {"status": answer.status, "location": None, "body": answer.body.decode()} | answer.headers
    if decided.file is None:
        del wanted["body"]
    return [
        f"{line}: {name} {got.get(name)!r}, not {value!r}" for name, value in wanted.items() if got.get(name) != value
    ]


@pytest.mark.parametrize("case", list(cases()), ids=lambda case: case.name)
def test_a_real_edge_answers_as_decided(case: Path, tmp_path: Path) -> None:
    site, preview = load(case), Preview(laid_out(case, tmp_path))
    try:
        lines = [line for line in (case / "expected.txt").read_text().splitlines() if not line.startswith("!")]
        assert [found for line in lines for found in differences(site, preview, line.partition(" => ")[0])] == []
    finally:
        preview.stop()
