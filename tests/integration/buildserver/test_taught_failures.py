"""Failures of real builds, each by the program that a project meets it with: the code, and what its sentence names."""

import json
from typing import Any

import pytest

from scalemesh.core.build import BuildSettings, Claim
from scalemesh.testing.git_server import GitServer
from tests.integration.builds import Farm, claim, failure, shown, spec

pytestmark = pytest.mark.matrix

WANTS = {"is-number": "7.0.0"}
BERRY = """
__metadata:
  version: 8

"site@workspace:.":
  version: 0.0.0-use.local
  resolution: "site@workspace:."
  languageName: unknown
  linkType: soft
"""
STALE = {
    "npm": ("package-lock.json", '{"name": "site", "lockfileVersion": 3, "packages": {"": {"name": "site"}}}'),
    "pnpm": ("pnpm-lock.yaml", "lockfileVersion: '9.0'\n\nimporters:\n\n  .: {}\n"),
    "yarn-classic": ("yarn.lock", "# yarn lockfile v1\n\n"),
    "yarn-berry": ("yarn.lock", BERRY),
    "bun": ("bun.lock", '{"lockfileVersion": 1, "workspaces": {"": {"name": "site"}}, "packages": {}}\n'),
}
OLD = {"name": "old", "version": "1.0.0", "engines": {"node": ">=99"}}


def given(git: GitServer, name: str, files: dict[str, str], **settings: Any) -> Claim:
    repository = git.repository(f"taught-{name}", files)
    commit = repository.git("rev-parse", "main").strip()
    return claim(spec(repository.url, commit, settings=BuildSettings(**settings)))


def package(**fields: object) -> str:
    return json.dumps({"name": "site", "private": True, "scripts": {"build": "node build.mjs"}} | fields)


@pytest.mark.parametrize("name", STALE)
async def test_lockfile_out_of_date(farm: Farm, git: GitServer, name: str) -> None:
    lockfile, content = STALE[name]
    files = {lockfile: content, "package.json": package(dependencies=WANTS)}
    built = await farm.build(given(git, f"lock-{name}", files))
    assert failure(built).code == "lockfile_out_of_date", shown(built)


@pytest.mark.parametrize("name", sorted(STALE.keys() - {"yarn-berry"}))  # which runs nothing before an install
async def test_missing_script(farm: Farm, git: GitServer, name: str) -> None:
    lockfile, content = STALE[name]
    command = f"{name.partition('-')[0]} run export"
    files = {lockfile: content, "package.json": package()}
    built = await farm.build(given(git, f"script-{name}", files, install_command="", build_command=command))
    assert failure(built).code == "no_build_script", shown(built)
    assert "no script called export" in failure(built).message


@pytest.mark.parametrize("manager", ["npm@11", "yarn@1.22.22"])
async def test_package_of_another_node(farm: Farm, git: GitServer, manager: str) -> None:
    name = manager.partition("@")[0]
    files = {
        "package.json": package(dependencies={"old": "file:./old"}, packageManager=manager),
        "old/package.json": json.dumps(OLD),
        ".npmrc": "engine-strict=true\ninstall-links=true\n",
    }
    built = await farm.build(given(git, f"node-{name}", files, install_command=f"{name} install"))
    assert failure(built).code == "node_version", shown(built)
    assert "asks for Node >=99" in failure(built).message


async def test_import_of_another_case(farm: Farm, git: GitServer) -> None:
    files = {"package.json": package(), "build.mjs": 'import "./lib/header.mjs";', "lib/Header.mjs": ""}
    built = await farm.build(given(git, "case", files))
    assert failure(built).code == "case_sensitive_import", shown(built)
    assert "'lib/Header.mjs'" in failure(built).message


async def test_output_elsewhere(farm: Farm, git: GitServer) -> None:
    build = 'import fs from "node:fs"; fs.mkdirSync("build/web", {recursive: true});'
    build += ' fs.writeFileSync("build/web/index.html", "x");'
    files = {"package.json": package(), "build.mjs": build}
    built = await farm.build(given(git, "output", files, output_directory="dist"))
    assert failure(built).code == "output_directory_not_found", shown(built)
    assert "build/web" in failure(built).message


async def test_heap_of_node(farm: Farm, git: GitServer) -> None:
    build = "const kept = []; for (;;) kept.push(new Array(1e5).fill({}));"
    files = {"package.json": package(scripts={"build": "node --max-old-space-size=64 build.mjs"}), "build.mjs": build}
    built = await farm.build(given(git, "heap", files))
    assert failure(built).code == "out_of_memory", shown(built)


async def test_root_directory_that_is_not_there(farm: Farm, git: GitServer) -> None:
    top = package(workspaces=["apps/*"])
    files = {"package.json": top, "apps/web/package.json": package(), "apps/docs/package.json": package()}
    built = await farm.build(given(git, "root", files, root_directory="apps/wbe"))
    assert failure(built).code == "root_directory_not_found", shown(built)
    assert "apps/docs, apps/web" in failure(built).message
