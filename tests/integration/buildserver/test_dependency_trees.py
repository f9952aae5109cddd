"""Dependencies that lie in several folders, or in none called node_modules: shown to the next build all the same."""

import json
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from scalemesh.buildserver.control.memory import MemoryControl
from scalemesh.core.build import BuildSettings, Claim
from scalemesh.core.ids import new_id
from scalemesh.testing.git_server import GitServer
from tests.integration.build_api import BuildApi
from tests.integration.builds import Farm, claim, shown, spec, text

Files = Mapping[str, str | bytes]
BUILD = """
import {appendFileSync, mkdirSync, readFileSync, writeFileSync} from "node:fs";
const mounts = readFileSync("/proc/self/mounts", "utf8").match(/node_modules overlay/g) ?? [];
mkdirSync("dist");
writeFileSync("dist/index.html", [require("dep"), require("ui"), mounts.length].join(" "));
for (const name of ["dep", "ui"]) appendFileSync(require.resolve(name), "// POISON");
if (process.env.FAIL) process.exit(1);
""".replace("import {", "const {").replace('} from "node:fs"', '} = require("node:fs")')
MKDOCS = """
import os, pathlib, site
def main():
    note = pathlib.Path(site.getsitepackages()[0]) / "note"
    before = note.read_text() if note.exists() else ""
    pathlib.Path("site").mkdir()
    pathlib.Path("site/index.html").write_text(f"{before}|{os.path.ismount(os.environ['VIRTUAL_ENV'])}")
    note.write_text(before + "x")
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """apps/web and packages/ui need different versions of dep: one of the two has a node_modules of its own."""
    folder = tmp_path_factory.mktemp("workspace")
    for version in ("1.0.0", "2.0.0"):
        source = folder / f"dep-{version}"
        source.mkdir()
        (source / "package.json").write_text(json.dumps({"name": "dep", "version": version}))
        (source / "index.js").write_text(f"module.exports = 'dep@{version}'\n")
        _run("npm", "pack", source, "--silent", cwd=folder)
    files = {
        "package.json": {"name": "all", "private": True, "workspaces": ["apps/*", "packages/*"]},
        "apps/web/package.json": {
            "name": "web",
            "scripts": {"build": "node build.cjs"},
            "dependencies": {"ui": "*", "dep": "file:../../dep-1.0.0.tgz"},
        },
        "packages/ui/package.json": {
            "name": "ui",
            "version": "1.0.0",
            "dependencies": {"dep": "file:../../dep-2.0.0.tgz"},
        },
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    _run("npm", "install", "--silent", "--offline", "--package-lock-only", cwd=folder)
    names = [*files, "package-lock.json", "dep-1.0.0.tgz", "dep-2.0.0.tgz"]
    return {
        **{name: (folder / name).read_bytes() for name in names},
        "packages/ui/index.js": "module.exports = 'ui with ' + require('dep')\n",
        "apps/web/build.cjs": BUILD,
    }


def _run(*argv: str | Path, cwd: Path) -> None:
    subprocess.run(argv, cwd=cwd, check=True, capture_output=True)


def given(git: GitServer, files: Files, root: str = "", **fields: object) -> Claim:
    repository = git.repository(f"trees-{new_id('x')[-6:]}", files)
    made = spec(
        repository.url, repository.git("rev-parse", "main").strip(), settings=BuildSettings(root_directory=root)
    )
    return claim(msgspec.structs.replace(made, **fields))


def page(control: MemoryControl) -> str:
    assert control.published is not None, shown(control)
    (only,) = control.blobs.values()
    return only.decode()


async def test_every_node_modules_of_a_workspace(farm: Farm, git: GitServer, workspace: Files) -> None:
    """The poison of each build lies in its own folder; what is not installed but linked is the repository's."""
    pages = [page(await farm.build(given(git, workspace, "apps/web"))) for _ in range(3)]
    assert pages == [f"dep@1.0.0 ui with dep@2.0.0 {mounts}" for mounts in (0, 2, 2)]


@pytest.mark.matrix
async def test_a_members_new_dependency_is_installed(farm: Farm, git: GitServer, workspace: Files) -> None:
    await farm.build(given(git, workspace, "apps/web"))
    member = {"name": "ui", "version": "1.0.1", "dependencies": {"dep": "file:../../dep-2.0.0.tgz"}}
    again = await farm.build(given(git, {**workspace, "packages/ui/package.json": json.dumps(member)}, "apps/web"))
    assert "The lockfile has not changed" not in text(again)


@pytest.mark.matrix
async def test_a_failed_build_changes_none_of_them(farm: Farm, git: GitServer, workspace: Files) -> None:
    await farm.build(given(git, workspace, "apps/web"))
    bad = {**workspace, "apps/web/build.cjs": BUILD.replace("process.env.FAIL", "true")}
    assert (await farm.build(given(git, bad, "apps/web"))).published is None
    branch = await farm.build(given(git, workspace, "apps/web", target="preview"))
    assert page(branch) == "dep@1.0.0 ui with dep@2.0.0 2"


@pytest.mark.matrix
async def test_without_an_overlay_they_are_copied(tmp_path: Path, git: GitServer, workspace: Files) -> None:
    async with BuildApi().serve() as api, Farm(tmp_path, api, sandbox="none").open() as farm:
        await farm.build(given(git, workspace, "apps/web"))
        again = await farm.build(given(git, workspace, "apps/web"))
        assert "The lockfile has not changed" in text(again), shown(again)
        assert page(again) == "dep@1.0.0 ui with dep@2.0.0 0"


@pytest.mark.matrix
async def test_a_virtual_environment(farm: Farm, git: GitServer, tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"mkdocs.yml": "site_name: x\n", "requirements.txt": "mkdocs==1000.0.0\n"}
    files |= {f"wheels/{wheel.name}": wheel.read_bytes() for wheel in [_wheel(tmp_path)]}
    env = {"UV_FIND_LINKS": "wheels"}
    builds = [msgspec.structs.replace(given(git, files), env=env) for _ in range(3)]
    assert [page(await farm.build(each)) for each in builds] == ["|False", "x|True", "x|True"]


@pytest.mark.matrix
async def test_no_virtual_environment_of_versions_that_move(farm: Farm, git: GitServer, tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"mkdocs.yml": "site_name: x\n", "requirements.txt": "mkdocs>=1000\n"}
    files |= {f"wheels/{wheel.name}": wheel.read_bytes() for wheel in [_wheel(tmp_path)]}
    env = {"UV_FIND_LINKS": "wheels"}
    builds = [msgspec.structs.replace(given(git, files), env=env) for _ in range(2)]
    assert [page(await farm.build(each)) for each in builds] == ["|False", "|False"]


def _wheel(folder: Path) -> Path:
    """A program called mkdocs, in a version that no index has."""
    path, info = folder / "mkdocs-1000.0.0-py3-none-any.whl", "mkdocs-1000.0.0.dist-info"
    files = {
        "mkdocs.py": MKDOCS,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: mkdocs\nVersion: 1000.0.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[console_scripts]\nmkdocs = mkdocs:main\n",
    }
    with zipfile.ZipFile(path, "w") as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)
        wheel.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"]))
    return path
