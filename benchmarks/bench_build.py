"""Deploys of a Vite + React app with a lockfile, beside the same by hand (clone, `npm ci`, `npm run build`), in turn.

Cold: no cache on either side. Changed: one source file is another one, and both sides have what the round before left
them (by hand: npm's cache). Identical: the same commit again. From the API call to the first byte of the live page;
`identical_known_s` from the moment that the commit is known.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.report import report
from tests.acceptance.harness import Platform
from tests.acceptance.repositories import Repositories, files_of

ROUNDS = 3
TARGETS = {"changed_over_hand": 0.5, "identical_known_s": 0.3}


def main() -> None:
    scalemesh = Path(sys.executable).with_name("scalemesh")
    with tempfile.TemporaryDirectory() as name, Repositories(Path(name) / "git") as git:
        folder = Path(name)
        _scaffold(folder)
        url = git.create("app", files_of(folder / "app"))
        with Platform(scalemesh, folder / "data") as platform:
            platform.set_up()
            platform.project("app", url)
            rounds = [_round(platform, git, url, folder, n) for n in range(ROUNDS)]
    for found in rounds:
        print("   ".join(f"{name} {seconds:.2f} s" for name, seconds in found.items()))
    results = {name: round(statistics.median(found[name] for found in rounds), 2) for name in rounds[0]}
    ratios = {
        "cold_over_hand": round(results["cold_s"] / results["cold_by_hand_s"], 2),
        "changed_over_hand": round(results["changed_s"] / results["changed_by_hand_s"], 2),
    }
    report("build", results, ratios, TARGETS)


def _round(platform: Platform, git: Repositories, url: str, folder: Path, n: int) -> dict[str, float]:
    cache = folder / f"cache-{n}"
    found = {
        "cold_by_hand_s": _by_hand(url, folder / "hand", cache),
        "cold_s": _deploy(platform, force=True),
    }
    (folder / "app/src/note.ts").write_text(f"export const note = {n}\n")
    git.commit("app", files_of(folder / "app"))
    found |= {
        "changed_by_hand_s": _by_hand(url, folder / "hand", cache),
        "changed_s": _deploy(platform),
    }
    started = time.monotonic()
    deployment = _live(platform)
    assert deployment["reused_from"], deployment
    known = datetime.fromisoformat(deployment["created_at"]).timestamp()
    return found | {"identical_s": time.monotonic() - started, "identical_known_s": time.time() - known}


def _scaffold(folder: Path) -> None:
    _run("npm create -y vite@latest app -- --template react-ts --no-interactive", folder)
    # The linter takes no part in the build; a mirror without its other platforms' packages makes `npm ci` refuse.
    _run("npm pkg delete devDependencies.oxlint", folder / "app")
    _run("npm install --no-audit --no-fund", folder / "app")


def _by_hand(url: str, folder: Path, cache: Path) -> float:
    started = time.monotonic()
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", url, folder], check=True)
    _run("npm ci --no-audit --no-fund", folder, npm_config_cache=str(cache))
    _run("npm run build", folder)
    taken = time.monotonic() - started
    shutil.rmtree(folder)
    return taken


def _deploy(platform: Platform, *, force: bool = False) -> float:
    started = time.monotonic()
    deployment = _live(platform, force=force)
    taken = time.monotonic() - started
    print(f"{taken:.2f} s: { {step['step']: step['duration_ms'] for step in deployment['steps']} }", file=sys.stderr)
    return taken


def _live(platform: Platform, *, force: bool = False) -> Any:
    deployment = platform.ended(platform.deploy("app", force=force)["id"])
    assert platform.get(deployment["url"]).status == 200, platform.log_text(deployment["id"])
    return deployment


def _run(command: str, folder: Path, **environment: str) -> None:
    given = os.environ | {"CI": "1"} | environment
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True, env=given)


if __name__ == "__main__":
    main()
