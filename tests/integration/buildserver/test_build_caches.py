"""Caches from build to build: real agents and steps, each with a uid of its own."""

import json

import msgspec

from scalemesh.core.build import BuildSettings, Claim
from scalemesh.core.ids import new_id
from scalemesh.testing.git_server import GitServer
from tests.integration.builds import Farm, claim, shown, spec, text

BUILD = """
import {existsSync, mkdirSync, readFileSync, writeFileSync} from "node:fs";
mkdirSync("node_modules/.cache", {recursive: true});
const old = existsSync("node_modules/.cache/n") ? readFileSync("node_modules/.cache/n", "utf8") : "nothing";
writeFileSync("node_modules/.cache/n", process.env.NOTE, {mode: 0o600});
mkdirSync("dist");
writeFileSync("dist/index.html", `${old} ${existsSync("node_modules/dep/index.js")}`);
if (process.env.FAIL) process.exit(1);
"""


def given(git: GitServer, note: str, **fields: object) -> Claim:
    """An app whose page says what the build before it has left."""
    package = {"name": "site", "private": True, "scripts": {"build": "node build.mjs"}}
    repository = git.repository(f"cached-{new_id('x')[-6:]}", {"package.json": json.dumps(package), "build.mjs": BUILD})
    made = spec(repository.url, repository.git("rev-parse", "main").strip(), settings=BuildSettings(install_command=""))
    return claim(msgspec.structs.replace(made, **fields), env={"NOTE": note})


async def page(farm: Farm, given: Claim) -> str:
    built = await farm.build(given)
    assert built.published is not None, shown(built)
    (only,) = built.blobs.values()
    return only.decode().split()[0]


async def test_next_build_finds_it(farm: Farm, git: GitServer) -> None:
    assert [await page(farm, given(git, "one")), await page(farm, given(git, "two"))] == ["nothing", "one"]


async def test_a_branch_reads_production_and_production_no_branch(farm: Farm, git: GitServer) -> None:
    assert await page(farm, given(git, "main")) == "nothing"
    assert await page(farm, given(git, "draft", target="preview")) == "main"
    assert await page(farm, given(git, "again", target="preview")) == "draft"
    assert await page(farm, given(git, "main-2")) == "main"


async def test_another_project_sees_nothing(farm: Farm, git: GitServer) -> None:
    await page(farm, given(git, "one"))
    assert await page(farm, given(git, "two", project="prj_2")) == "nothing"


async def test_without_cache(farm: Farm, git: GitServer) -> None:
    await page(farm, given(git, "one"))
    assert await page(farm, given(git, "two", cache=False)) == "nothing"
    assert await page(farm, given(git, "three")) == "two"


async def test_failed_build_changes_nothing(farm: Farm, git: GitServer) -> None:
    await page(farm, given(git, "one"))
    bad = given(git, "bad")
    failed = await farm.build(msgspec.structs.replace(bad, env={**bad.env, "FAIL": "1"}))
    assert failed.published is None
    assert "Restored from cache" in text(failed)
    assert await page(farm, given(git, "three")) == "one"
