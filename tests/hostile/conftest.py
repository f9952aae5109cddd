"""Hostile builds run in a few processes for all tests: one for each sandbox mode and group of builds."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.hostile.hostile_builds import BUILDS
from tests.hostile.hostile_results import Result

ROOT = Path(__file__).parents[2]
MACHINE_TIMEOUT_S = 500

Ran = Callable[..., Result]


@pytest.fixture(scope="session")
def ran() -> Iterator[Ran]:
    """`ran(build, sandbox)`: its result, from a run of all builds of its group."""
    roots: list[Path] = []

    @cache
    def group(name: str, sandbox: str) -> dict[str, Result]:
        names = [build for build, found in BUILDS.items() if found.group == name and sandbox in found.sandboxes]
        roots.append(Path(tempfile.mkdtemp(prefix="hostile-")))
        roots[-1].chmod(0o755)
        return _run(roots[-1], sandbox, names)

    def result(build: str, sandbox: str = "bubblewrap") -> Result:
        return group(BUILDS[build].group, sandbox)[build]

    yield result
    for root in roots:
        shutil.rmtree(root)


def _run(root: Path, sandbox: str, names: list[str]) -> dict[str, Result]:
    request = root / "request.json"
    request.write_text(json.dumps({"root": str(root), "sandbox": sandbox, "names": names}))
    argv = [sys.executable, "-m", "tests.hostile.hostile_machine", str(request)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=MACHINE_TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads((root / "results.json").read_text())
    return {name: Result(**fields) for name, fields in found.items()}
