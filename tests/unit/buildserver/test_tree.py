from pathlib import Path

import pytest

from scalemesh.buildserver.toolchains import needed
from scalemesh.buildserver.tree import Tree
from scalemesh.core.build import Plan
from scalemesh.errors import BuildFailed


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a.txt", "src/b.txt", "node_modules/c.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "folder").symlink_to("/etc")
    return tmp_path


def test_listing(root: Path) -> None:
    with Tree(root) as tree:
        assert sorted(tree.listing({"node_modules"})) == ["a.txt", "link", "src/b.txt"]


def test_listing_below(root: Path) -> None:
    with Tree(root, "src") as tree:
        assert tree.listing(()) == ["b.txt"]


def test_read(root: Path) -> None:
    with Tree(root) as tree:
        assert tree.read("src/b.txt") == b"src/b.txt"


@pytest.mark.parametrize("path", ["link", "folder/passwd", "missing", "src"])
def test_what_cannot_be_read_is_not_there(root: Path, path: str) -> None:
    with Tree(root) as tree:
        assert tree.read(path) is None


@pytest.mark.parametrize("relative", ["folder", "..", "a.txt", "nowhere"])
def test_root_that_is_no_folder_of_the_repository(root: Path, relative: str) -> None:
    with pytest.raises(BuildFailed), Tree(root, relative):
        pass


def test_default_node_may_be_the_machines() -> None:
    default = Plan(node_version="22", sources={"node_version": "default"})
    stated = Plan(node_version="22", sources={"node_version": ".nvmrc"})
    assert (needed(default), needed(stated)) == ({"node": None}, {"node": "22"})


def test_managers_and_toolchains() -> None:
    plan = Plan(package_manager="pnpm", package_manager_version="9", toolchains=["hugo"])
    assert needed(plan) == {"hugo": None, "pnpm": "9"}


def test_npm_comes_with_node() -> None:
    assert needed(Plan(package_manager="npm", package_manager_version="10")) == {}
