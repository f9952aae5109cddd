"""The whole platform with SCALEMESH_BUILDER=ecs: every build is a task of the machine that stands in for AWS."""

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.acceptance.harness import Platform, eventually
from tests.acceptance.repositories import Repositories
from tests.acceptance.test_path import BUILD_PAGE, built_site
from tests.acceptance.test_survival import slow
from tests.ecs_machine import EcsMachine

pytestmark = pytest.mark.matrix
ROOT = Path(__file__).parents[2]


@dataclass
class OnEcs:
    platform: Platform
    machine: EcsMachine

    def attempt(self, deployment: str) -> str:
        """Its newest one that AWS knows."""
        return self.machine.attempts(deployment)[-1]


@pytest.fixture(scope="module")
def on_ecs(scalemesh: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnEcs]:
    python = scalemesh.with_name("python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", "botocore"], check=True)
    with EcsMachine(tmp_path_factory.mktemp("ecs")).open() as machine:
        data = tmp_path_factory.mktemp("on-ecs") / "data"
        with Platform(scalemesh, data, env=machine.env | machine.settings()) as platform:
            yield OnEcs(platform.set_up(), machine)


def test_from_git_to_live_by_a_task(on_ecs: OnEcs, git: Repositories) -> None:
    url = built_site(git, "by-task", BUILD_PAGE % "built by a task")
    deployed = on_ecs.platform.cli_json("deploy", url)
    assert deployed["state"] == "ready", on_ecs.platform.log_text(deployed["id"])
    assert on_ecs.platform.get(deployed["url"]).body == b"built by a task"
    attempt = on_ecs.attempt(deployed["id"])
    eventually(lambda: not on_ecs.machine.remains(attempt), within_s=60, what="the task is stopped, its token deleted")


def test_the_second_task_has_the_first_ones_cache(on_ecs: OnEcs, git: Repositories) -> None:
    script = """
        const note = "node_modules/.cache/note", old = fs.existsSync(note) ? fs.readFileSync(note, "utf8") : "none";
        fs.mkdirSync("node_modules/.cache", {recursive: true});
        fs.writeFileSync(note, "kept in the store");
        fs.writeFileSync("dist/index.html", old);
    """
    url = built_site(git, "cached-task", f'import fs from "node:fs"; fs.mkdirSync("dist"); {script}')
    first = on_ecs.platform.cli_json("deploy", url)
    assert on_ecs.platform.get(first["url"]).body == b"none", on_ecs.platform.log_text(first["id"])
    assert "Kept for later builds" in on_ecs.platform.log_text(first["id"])
    second = on_ecs.platform.ended(on_ecs.platform.ok("POST", f"/deployments/{first['id']}/redeploy")["id"])
    assert on_ecs.platform.get(second["url"]).body == b"kept in the store", on_ecs.platform.log_text(second["id"])
    cold = on_ecs.platform.cli_json("deploy", url, "--force")
    assert on_ecs.platform.get(cold["url"]).body == b"none"


def test_a_cancelled_build_leaves_nothing(on_ecs: OnEcs, git: Repositories) -> None:
    started = slow(on_ecs.platform, git, "cancel-task", ticks=2000)
    attempt = on_ecs.attempt(started)
    assert on_ecs.machine.processes(attempt)
    on_ecs.platform.ok("POST", f"/deployments/{started}/cancel")
    assert on_ecs.platform.ended(started, within_s=60)["state"] == "canceled"
    eventually(lambda: not on_ecs.machine.remains(attempt), within_s=60, what="nothing of the task is left")


def test_a_task_that_dies_is_tried_again(on_ecs: OnEcs, git: Repositories) -> None:
    started = slow(on_ecs.platform, git, "crash-task", ticks=60)
    on_ecs.machine.crash(on_ecs.attempt(started))
    ended = on_ecs.platform.ended(started, within_s=120)
    assert (ended["state"], len(on_ecs.machine.attempts(started))) == ("ready", 2)
    assert on_ecs.platform.get(ended["url"]).body == b"slow but done"


def test_a_build_goes_on_while_the_platform_is_started_anew(on_ecs: OnEcs, git: Repositories) -> None:
    started = slow(on_ecs.platform, git, "outlive-task", ticks=200)
    assert on_ecs.platform.process
    on_ecs.platform.process.kill()
    on_ecs.platform.process.wait(10)
    on_ecs.platform.start()
    assert on_ecs.platform.ended(started, within_s=120)["state"] == "ready"
    assert len(on_ecs.machine.attempts(started)) == 1
