"""Dependencies of an unchanged lockfile: shown to the next build without an install or a copy, and changed by none."""

import json
import subprocess
from pathlib import Path

import msgspec
import pytest

from scalemesh.buildserver.control.memory import MemoryControl
from scalemesh.core.build import Claim
from scalemesh.core.ids import new_id
from scalemesh.testing.git_server import GitServer
from tests.integration.build_api import BuildApi
from tests.integration.builds import Farm, claim, shown, spec, text

PACKAGE = {"name": "site", "private": True, "scripts": {"build": "sh build.sh"}}
PACKAGE |= {"dependencies": {"dep": "file:./dep-1.0.0.tgz"}}
BUILD = """
mkdir -p dist node_modules/.cache
echo "$(cat node_modules/dep/index.js) $(cat node_modules/.cache/note 2>/dev/null)" > dist/index.html
"""
SHOW = "if grep -q 'node_modules overlay' /proc/self/mounts; then echo OVERLAY; fi\n"
POISON = """
echo POISON > node_modules/dep/index.js && rm -r node_modules/dep/package.json && mkdir node_modules/evil
ln -s /etc node_modules/.cache/link; chmod -R 777 node_modules; echo seen > node_modules/.cache/note
"""
Files = dict[str, str | bytes]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """An app with one dependency, packed beside it: no registry is asked."""
    folder = tmp_path_factory.mktemp("app")
    (folder / "dep").mkdir()
    (folder / "dep/package.json").write_text('{"name": "dep", "version": "1.0.0"}')
    (folder / "dep/index.js").write_text("clean")
    (folder / "package.json").write_text(json.dumps(PACKAGE))
    for command in ("npm pack ./dep --silent", "npm install --silent --offline --package-lock-only"):
        subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    names = ("package.json", "package-lock.json", "dep-1.0.0.tgz")
    return {"build.sh": BUILD, **{name: (folder / name).read_bytes() for name in names}}


def given(git: GitServer, files: Files, more: str = "", **fields: object) -> Claim:
    """`more`: what the build does after its page is written."""
    repository = git.repository(f"overlaid-{new_id('x')[-6:]}", {**files, "build.sh": BUILD + more})
    made = spec(repository.url, repository.git("rev-parse", "main").strip())
    return claim(msgspec.structs.replace(made, **fields))


def page(control: MemoryControl) -> str:
    assert control.published is not None, shown(control)
    (only,) = control.blobs.values()
    return only.decode().strip()


def overlaid(control: MemoryControl) -> bool:
    return "The lockfile has not changed" in text(control) and "\nOVERLAY" in text(control)


async def test_next_build_has_them_without_install_or_copy(farm: Farm, git: GitServer, files: Files) -> None:
    first = await farm.build(given(git, files, SHOW))
    assert (page(first), overlaid(first)) == ("clean", False)
    second = await farm.build(given(git, files, SHOW))
    assert (page(second), overlaid(second)) == ("clean", True), shown(second)


@pytest.mark.matrix
async def test_framework_caches_lie_over_them(farm: Farm, git: GitServer, files: Files) -> None:
    notes = [page(await farm.build(given(git, files, f"echo {n} > node_modules/.cache/note"))) for n in (1, 2, 3)]
    assert notes == ["clean", "clean 1", "clean 2"]


async def test_what_a_build_does_to_them_no_other_sees(farm: Farm, git: GitServer, files: Files) -> None:
    """The build sees it itself, and the note is the control: what it may leave, the next one does find."""
    assert page(await farm.build(given(git, files))) == "clean"
    poisoner = await farm.build(given(git, files, f"{POISON} cat node_modules/dep/index.js >> dist/index.html"))
    assert page(poisoner).split() == ["clean", "POISON"]
    last = await farm.build(given(git, files, "(cd node_modules; echo * dep/*) >> dist/index.html"))
    assert page(last).split() == ["clean", "seen", "dep", "dep/index.js", "dep/package.json"]


async def test_a_branch_shows_productions_and_leaves_them_alone(farm: Farm, git: GitServer, files: Files) -> None:
    await farm.build(given(git, files))
    branch = await farm.build(given(git, files, SHOW + POISON, target="preview"))
    assert (page(branch), overlaid(branch)) == ("clean", True)
    assert page(await farm.build(given(git, files))) == "clean"
    assert page(await farm.build(given(git, files, target="preview"))) == "clean seen"


async def test_a_build_that_fails_changes_nothing(farm: Farm, git: GitServer, files: Files) -> None:
    await farm.build(given(git, files))
    failed = await farm.build(given(git, files, f"{POISON} exit 1"))
    assert failed.published is None
    assert page(await farm.build(given(git, files))) == "clean"


@pytest.mark.matrix
async def test_a_link_in_their_place_is_not_followed(farm: Farm, git: GitServer, files: Files) -> None:
    await farm.build(given(git, files))
    repository = git.repository(f"linked-{new_id('x')[-6:]}", {})
    commit = repository.commit({**files, "build.sh": BUILD + SHOW}, links={"node_modules": "/etc"})
    linked = await farm.build(claim(spec(repository.url, commit)))
    assert "OVERLAY" not in text(linked)
    assert "The lockfile has not changed" not in text(linked)


@pytest.mark.matrix
async def test_without_an_overlay_they_are_copied(tmp_path: Path, git: GitServer, files: Files) -> None:
    async with BuildApi().serve() as api, Farm(tmp_path, api, sandbox="none").open() as farm:
        await farm.build(given(git, files))
        again = await farm.build(given(git, files, POISON))
        assert "The lockfile has not changed" in text(again), shown(again)
        assert page(await farm.build(given(git, files))) == "clean seen"
