"""Deploys of real sites with a lockfile, beside the same by hand (clone, `npm ci`, `npm run build`), in turn.

Vite + React and Docusaurus as their scaffolders make them, and Astro with 100 pages. Cold: no cache on either side.
Changed: one source file is another one, and both sides have what the round before left them (by hand: npm's cache).
Identical: the same commit again. From the API call to the first byte of the live page; `identical_known_s` from the
moment that the commit is known. `python -m benchmarks.bench_build [SITE…]` measures some of them.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.report import report
from tests.acceptance.harness import Platform
from tests.acceptance.repositories import Repositories, files_of

TARGETS = {"changed_over_hand": 0.5, "identical_known_s": 0.3}


@dataclass(frozen=True)
class Site:
    """`scaffold` makes the folder `app`; `changed` is a file of it, of which each round makes another version."""

    name: str
    scaffold: Sequence[str]
    changed: str
    text: str
    rounds: int = 3
    files: Mapping[str, str] = field(default_factory=dict)


SITES = (
    Site(
        "vite",
        (
            "npm create -y vite@latest app -- --template react-ts --no-interactive",
            # No part of the build; a mirror without its packages for other platforms makes `npm ci` refuse.
            "npm --prefix app pkg delete devDependencies.oxlint",
        ),
        "src/note.ts",
        "export const note = {n}\n",
    ),
    Site(
        "astro",
        (),  # its scaffolder wants a newer Node than the sites of today have, and fetches from elsewhere
        "src/pages/note.md",
        "# Note {n}\n\nRound {n}\n",
        files={
            "package.json": '{"name": "app", "private": true, "type": "module", "scripts": {"build": "astro build"}, '
            '"dependencies": {"astro": "^5"}, "overrides": {"rollup": "npm:@rollup/wasm-node@^4"}}',  # as above
            "src/pages/[page].astro": "---\nexport const getStaticPaths = () =>\n  Array.from({length: 100}, (_, n) => "
            "({params: {page: `page-${n}`}}))\nconst {page} = Astro.params\n---\n<html><h1>{page}</h1></html>\n",
            "src/pages/index.astro": "<html><body><h1>Front</h1></body></html>\n",
        },
    ),
    Site(
        "docusaurus",
        (
            "npx -y create-docusaurus@latest app classic --javascript --skip-install",
            # As above; what this one is of use for is switched on by `v4`.
            "npm --prefix app pkg delete dependencies.@docusaurus/faster",
            "sed -i s/v4:.true/v4:false/ app/docusaurus.config.js",
        ),
        "docs/note.md",
        "# Note {n}\n\nRound {n}\n",
        rounds=2,
    ),
)


def main() -> None:
    wanted = sys.argv[1:] or [site.name for site in SITES]
    results: dict[str, float] = {}
    ratios: dict[str, float] = {}
    for site in SITES:
        if site.name in wanted:
            for name, seconds in _measured(site).items():
                results[f"{site.name}.{name}"] = seconds
            for kind in ("cold", "changed"):
                ours, hand = results[f"{site.name}.{kind}_s"], results[f"{site.name}.{kind}_by_hand_s"]
                ratios[f"{site.name}.{kind}_over_hand"] = round(ours / hand, 2)
    targets = {f"{name}.{target}": value for name in wanted for target, value in TARGETS.items()}
    report("build", results, ratios, targets)


def _measured(site: Site) -> dict[str, float]:
    """Medians."""
    scalemesh = Path(sys.executable).with_name("scalemesh")
    with tempfile.TemporaryDirectory() as name, Repositories(Path(name) / "git") as git:
        folder = Path(name)
        _scaffold(site, folder)
        url = git.create("app", files_of(folder / "app"))
        with Platform(scalemesh, folder / "data") as platform:
            platform.set_up()
            platform.project("app", url)
            rounds = [_round(platform, git, url, folder, site, n) for n in range(site.rounds)]
    for found in rounds:
        print(site.name, "   ".join(f"{name} {seconds:.2f} s" for name, seconds in found.items()))
    return {name: round(statistics.median(found[name] for found in rounds), 2) for name in rounds[0]}


def _round(platform: Platform, git: Repositories, url: str, folder: Path, site: Site, n: int) -> dict[str, float]:
    cache = folder / f"cache-{n}"
    found = {
        "cold_by_hand_s": _by_hand(url, folder / "hand", cache),
        "cold_s": _deploy(platform, force=True),
    }
    (folder / "app" / site.changed).write_text(site.text.format(n=n))
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


def _scaffold(site: Site, folder: Path) -> None:
    for path, text in site.files.items():
        (folder / "app" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "app" / path).write_text(text)
    for command in site.scaffold:
        _run(command, folder)
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
