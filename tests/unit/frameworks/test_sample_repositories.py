"""Every file in tests/repos is a repository (its files) with the plan, or the refusal, that it must get."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from scalemesh.core.build import BuildSettings, Plan
from scalemesh.errors import BuildFailed
from scalemesh.frameworks import PRESETS, detect

REPOS = sorted((Path(__file__).parents[2] / "repos").glob("*.json"))


def load(path: Path) -> dict[str, Any]:
    sample: dict[str, Any] = json.loads(path.read_text())
    return sample


def plan_of(sample: dict[str, Any]) -> Plan:
    files: dict[str, str] = sample["files"]
    read = {path: content.encode() for path, content in files.items()}.get
    return detect(list(files), read, BuildSettings(**sample.get("settings", {})))


@pytest.mark.parametrize("path", [p for p in REPOS if "plan" in load(p)], ids=lambda p: p.stem)
def test_plan(path: Path) -> None:
    sample = load(path)
    made = msgspec.structs.asdict(plan_of(sample))
    sources = made.pop("sources")
    expected = sample["plan"]
    expected_sources = expected.pop("sources", {})
    assert {name: made[name] for name in expected} == expected
    assert {name: sources.get(name) for name in expected_sources} == expected_sources


@pytest.mark.parametrize("path", [p for p in REPOS if "error" in load(p)], ids=lambda p: p.stem)
def test_refusal(path: Path) -> None:
    sample = load(path)
    with pytest.raises(BuildFailed) as raised:
        plan_of(sample)
    error = raised.value
    assert error.code == sample["error"]["code"]
    assert sample["error"]["says"] in f"{error.message}\n{error.hint}"


def test_every_value_of_a_plan_says_where_it_came_from() -> None:
    shown = {"framework", "build_command", "install_command", "output_directory", "root_directory"}
    for path in REPOS:
        sample = load(path)
        if "plan" in sample:
            assert shown <= set(plan_of(sample).sources), path.stem


def test_every_preset_has_a_sample() -> None:
    samples = {load(path).get("plan", {}).get("framework") for path in REPOS} | {path.stem for path in REPOS}
    assert {preset.slug for preset in PRESETS} - samples == set()
