"""Real scaffolds through the whole path: repository, detection, sandboxed build, edge, and what Chromium shows."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.acceptance.harness import Platform
from tests.acceptance.repositories import Repositories, files_of
from tests.frameworks.page import Page
from tests.frameworks.scaffolds import SCAFFOLDS, Scaffold

# A lockfile names packages of other platforms that a mirror may not have; a scaffold's ranges say enough.
_LEFT_OUT = frozenset({"package-lock.json", "pnpm-lock.yaml", "yarn.lock"})
_WANTED = os.environ.get("FRAMEWORK", "").lower()

pytestmark = [pytest.mark.frameworks, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("platform", ["up"], indirect=True)
@pytest.mark.parametrize("scaffold", [s for s in SCAFFOLDS if _WANTED in s.name.lower()], ids=lambda s: s.name)
def test_a_scaffold_is_built_and_renders(
    scaffold: Scaffold,
    platform: Platform,
    git: Repositories,
    browser: Browser,
    table: Page,
    node: Path,
    tmp_path: Path,
) -> None:
    name = re.sub(r"[^a-z0-9]+", "-", scaffold.name.lower()).strip("-")
    files = made(scaffold, tmp_path, node)
    platform.project(name, git.create(name, files))
    ended = platform.ended(platform.deploy(name)["id"], within_s=1500)
    assert ended["state"] == "ready", platform.log_text(ended["id"])[-3000:]
    assert ended["plan"].get("framework") == scaffold.framework
    context = browser.new_context()
    try:
        page = context.new_page()
        page.goto(ended["url"] + scaffold.path)
        expect(page.locator("body")).to_contain_text(scaffold.shows, timeout=20_000)
    finally:
        context.close()
    steps = {step["step"]: step["duration_ms"] / 1000 for step in ended["steps"]}
    took = f"{steps.get('install', 0):.0f} + {steps.get('build', 0):.0f}"
    manager = ended["plan"].get("package_manager") or "-"
    table.put(scaffold.name, version(scaffold, files), str(scaffold.framework or "-"), manager, took, "yes")


def made(scaffold: Scaffold, folder: Path, node: Path) -> dict[str, bytes]:
    """The project's files; `node`: the folder of the Node that its scaffolder runs on."""
    app = folder / "app"
    app.mkdir()
    if scaffold.argv:
        app.rmdir()
        done = subprocess.run(
            scaffold.argv,
            cwd=folder,
            env={**os.environ, "PATH": f"{node}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert app.is_dir(), done.stdout[-2000:] + done.stderr[-2000:]
    for path, text in scaffold.files.items():
        (app / path).parent.mkdir(parents=True, exist_ok=True)
        (app / path).write_text(text)
    if scaffold.scripts or scaffold.dev:
        package = json.loads((app / "package.json").read_text())
        package["scripts"] = {**package.get("scripts", {}), **scaffold.scripts}
        package["devDependencies"] = {**package.get("devDependencies", {}), **scaffold.dev}
        (app / "package.json").write_text(json.dumps(package, indent=2))
    return {
        path: data for path, data in files_of(app).items() if path not in _LEFT_OUT and not path.startswith(".git/")
    }


def version(scaffold: Scaffold, files: dict[str, bytes]) -> str:
    """What the project asks for, as it says it."""
    if "package.json" not in files:
        return "newest"
    package = json.loads(files["package.json"])
    wanted = {**package.get("devDependencies", {}), **package.get("dependencies", {})}
    return f"{scaffold.package} {wanted.get(scaffold.package, '')}".strip().replace("|", "or")
