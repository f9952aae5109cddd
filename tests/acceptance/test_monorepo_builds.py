"""Workspaces as people have them (`monorepos/`): installed at the top by each package manager, built from a folder."""

from pathlib import Path

import pytest

from tests.acceptance.harness import Platform
from tests.acceptance.repositories import Repositories, files_of

pytestmark = [pytest.mark.matrix, pytest.mark.parametrize("platform", ["up"], indirect=True)]

SAMPLES = Path(__file__).parent / "monorepos"
NODE_MODULES: dict[str, str | bytes] = {".yarnrc.yml": "nodeLinker: node-modules\n"}
BOTH = b"web with is-number 6.0.0, ui with is-number 7.0.0"
AFTER = b"web with ui, built before"
REUSED = "The lockfile has not changed"


def deploy(
    platform: Platform, git: Repositories, name: str, more: dict[str, str | bytes]
) -> tuple[bytes, str, dict[str, str]]:
    """The page, the log and the plan."""
    folder = "yarn-berry" if name.startswith("yarn-berry") else name
    url = git.create(f"mono-{name}", {**files_of(SAMPLES / folder), **more})
    if not platform.api("GET", f"/projects/mono-{name}").is_success:
        platform.project(f"mono-{name}", url, root_directory="apps/web")
    deployed = platform.ended(platform.deploy(f"mono-{name}")["id"], within_s=300)
    log = platform.log_text(deployed["id"])
    assert deployed["state"] == "ready", log
    return platform.get(deployed["url"]).body, log, deployed["plan"]


@pytest.mark.parametrize(
    ("name", "more", "manager"),
    [
        ("npm", {}, "npm"),
        ("pnpm", {}, "pnpm"),
        ("yarn-classic", {}, "yarn"),
        ("yarn-berry-node-modules", NODE_MODULES, "yarn"),
    ],
)
def test_workspace(
    platform: Platform, git: Repositories, name: str, more: dict[str, str | bytes], manager: str
) -> None:
    """Two versions of one package, each where it belongs; no install while the lockfile is the same."""
    page, _, plan = deploy(platform, git, name, more)
    assert (page, plan["package_manager"]) == (BOTH, manager)
    page, log, _ = deploy(platform, git, name, {**more, "README.md": "# Changed"})
    assert (page, REUSED in log) == (BOTH, True), log


def test_plug_n_play(platform: Platform, git: Repositories) -> None:
    page, _, _ = deploy(platform, git, "yarn-berry", {})
    assert page == BOTH


@pytest.mark.parametrize(
    ("name", "command"), [("turbo", "turbo run build"), ("nx", "cd ../.. && npx nx build @all/web")]
)
def test_task_runner(platform: Platform, git: Repositories, name: str, command: str) -> None:
    """What the project depends on is built before it; with nothing changed of the sources, from the runner's cache."""
    page, _, plan = deploy(platform, git, name, {})
    assert (page, plan["build_command"]) == (AFTER, command)
    page, log, _ = deploy(platform, git, name, {"README.md": "# Changed"})
    assert (page, REUSED in log) == (AFTER, True), log
    assert "2 cached" in log or "read the output from the cache" in log, log
