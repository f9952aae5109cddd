"""The installed command against a running platform, as a person at a terminal would use it."""

import json
from pathlib import Path

import pytest

from tests.acceptance.harness import PASSWORD, Platform
from tests.acceptance.repositories import Repositories


@pytest.fixture
def project(platform: Platform, git: Repositories) -> str:
    platform.cli("projects", "rm", "shop", "--yes")
    url = git.create("shop", {"index.html": "shop"})
    made = platform.cli("projects", "create", "shop", url)
    assert made.returncode == 0, made.stderr
    return "shop"


def test_login_by_password_keeps_a_token_for_this_machine(platform: Platform, tmp_path: Path) -> None:
    home = {"XDG_CONFIG_HOME": str(tmp_path), "SCALEMESH_PASSWORD": PASSWORD, "SCALEMESH_TOKEN": ""}
    person = Platform(platform.scalemesh, platform.data, env=home, api_port=platform.api_port)
    done = person.cli("login", platform.url, "--email", "ada@example.org")
    assert done.returncode == 0, done.stderr
    kept = tmp_path / "scalemesh" / "login.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert PASSWORD not in kept.read_text()
    assert person.cli("projects", "ls", "--json").returncode == 0


def test_wrong_password_is_not_allowed(platform: Platform, tmp_path: Path) -> None:
    home = {"XDG_CONFIG_HOME": str(tmp_path), "SCALEMESH_PASSWORD": "wrong", "SCALEMESH_TOKEN": ""}
    person = Platform(platform.scalemesh, platform.data, env=home, api_port=platform.api_port)
    done = person.cli("login", platform.url, "--email", "nobody@example.org")
    assert (done.returncode, len(done.stderr.splitlines())) == (3, 1)


def test_projects_are_listed(platform: Platform, project: str) -> None:
    assert project in [found["name"] for found in json.loads(platform.cli("projects", "ls", "--json").stdout)]
    assert project in platform.cli("projects", "ls").stdout


def test_share_of_the_queue_is_set(platform: Platform, project: str) -> None:
    changed = platform.cli_json("projects", "set", project, "--concurrency", "2", "--cancel-running")
    assert (changed["concurrency"], changed["cancel_running"], changed["skip_unaffected"]) == (2, True, True)
    assert platform.cli("projects", "set", project, "--concurrency", "default").returncode == 0
    assert platform.ok("GET", f"/projects/{project}")["concurrency"] is None
    assert platform.cli("projects", "set", project).returncode == 2


def test_variables(platform: Platform, project: str) -> None:
    value = "a=b $HOME 'quoted' \"twice\"\nsecond line"
    assert platform.cli("env", "add", project, "GREETING", value).returncode == 0
    assert platform.cli("env", "add", project, "API_KEY", "hunter2", "--secret").returncode == 0
    listed = {var["key"]: var for var in platform.cli_json("env", "ls", project)}
    assert listed["GREETING"]["value"] == value
    assert "hunter2" not in json.dumps(listed)
    assert "hunter2" not in platform.cli("env", "ls", project).stdout
    assert platform.cli("env", "rm", project, "GREETING").returncode == 0
    assert [var["key"] for var in platform.cli_json("env", "ls", project)] == ["API_KEY"]


def test_login_chooses_a_team(platform: Platform, tmp_path: Path) -> None:
    home = {"XDG_CONFIG_HOME": str(tmp_path), "SCALEMESH_PASSWORD": PASSWORD, "SCALEMESH_TOKEN": ""}
    person = Platform(platform.scalemesh, platform.data, env=home, api_port=platform.api_port)
    mine = platform.ok("GET", "/me")["team"]["slug"]
    chosen = person.cli("login", platform.url, "--email", "ada@example.org", "--team", mine)
    assert (chosen.returncode, f"team {mine}" in chosen.stdout) == (0, True)
    refused = person.cli("login", platform.url, "--email", "ada@example.org", "--team", "nobodys")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)


def test_address_that_is_none_is_bad_input(platform: Platform) -> None:
    done = platform.cli("login", "localhost", "--token", "smp_x")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


def test_refused_deployment_leaves_no_project_behind(platform: Platform, git: Repositories, tmp_path: Path) -> None:
    before = platform.cli_json("projects", "ls")
    empty = tmp_path / "empty"
    empty.mkdir()
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "index.html").write_text("x")
    url = git.create("unbranched", {"index.html": "x"})
    for refused in (
        platform.cli("deploy", empty),
        platform.cli("deploy", folder, "--branch", "main"),
        platform.cli("deploy", url, "--branch", "no-such-branch"),
        platform.cli("deploy", git.url("no-such-repository")),
    ):
        assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
    assert platform.cli_json("projects", "ls") == before


def test_deploy_without_waiting_then_follow(platform: Platform, project: str) -> None:
    started = platform.cli_json("deploy", "--project", project, "--prod", "--no-wait")
    assert started["state"] in {"queued", "initializing", "building"}
    followed = platform.cli("logs", started["id"], "-f")
    assert followed.returncode == 0, followed.stderr
    assert "Cloning" in followed.stdout
    assert platform.cli("logs", started["id"]).stdout == followed.stdout
    assert platform.deployment(started["id"])["state"] == "ready"
    shown = platform.cli("inspect", started["id"]).stdout
    assert started["url"] in shown
    assert started["id"] in platform.cli("ls", "--project", project).stdout


def test_detect_says_where_each_value_comes_from(platform: Platform, tmp_path: Path) -> None:
    package = {"scripts": {"build": "vite build"}, "devDependencies": {"vite": "^7"}, "engines": {"node": "22.x"}}
    (tmp_path / "package.json").write_text(json.dumps(package))
    plan = platform.cli_json("detect", tmp_path)
    assert (plan["framework"], plan["output_directory"], plan["package_manager"]) == ("vite", "dist", "npm")
    assert "package.json" in plan["sources"]["node_version"]


def test_detect_of_nothing_is_bad_input(platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Words\n")
    done = platform.cli("detect", tmp_path)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)


def test_detect_names_the_framework_that_it_refuses(platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"dependencies": {"next": "16"}}')
    done = platform.cli("detect", tmp_path, "--json")
    found = json.loads(done.stdout)
    assert (done.returncode, found["framework"], found["error"]["code"]) == (2, "nextjs", "server_framework")
    assert "output: 'export'" in found["error"]["hint"]


def test_doctor_says_what_is_in_force(platform: Platform) -> None:
    found = {line["name"]: line for line in platform.cli_json("doctor", "--data-dir", platform.data)}
    assert found["sandbox"]["ok"]
    assert {"bubblewrap", "limits", "git", "node", "disk"} <= found.keys()
