"""What is taken from a .gitmodules of a stranger's, and what relative addresses mean."""

import pytest

from scalemesh.core.submodules import Submodule, parse, resolve


def listed(*entries: tuple[str, str]) -> str:
    return "".join(f"submodule.{key}\n{value}\0" for key, value in entries)


def test_complete_ones_in_their_order() -> None:
    text = listed(("a.b.path", "libs/a"), ("a.b.url", "../a.git"), ("c.path", "c"), ("d.url", "https://x/d"))
    assert parse(text) == [Submodule("libs/a", "../a.git")]


def test_update_none_is_left_alone() -> None:
    assert parse(listed(("a.path", "a"), ("a.url", "../a"), ("a.update", "none"))) == []


@pytest.mark.parametrize("path", ["", ".", "..", "../x", "/etc", "a/../../x", ".git", "a/.GIT/hooks"])
def test_paths_that_leave_the_repository(path: str) -> None:
    assert parse(listed(("a.path", path), ("a.url", "../a"))) == []


@pytest.mark.parametrize(
    ("parent", "url", "expected"),
    [
        ("https://host/owner/site.git", "../lib.git", "https://host/owner/lib.git"),
        ("https://host/owner/site/", "../../other/lib", "https://host/other/lib"),
        ("https://host/owner/site", "./nested.git", "https://host/owner/site/nested.git"),
        ("git@host:owner/site.git", "../lib.git", "git@host:owner/lib.git"),
        ("git@host:site.git", "../lib.git", "git@host:lib.git"),
        ("https://host/a", "https://else/b", "https://else/b"),
        ("https://host/a", "--upload-pack=x", "--upload-pack=x"),
    ],
)
def test_resolve(parent: str, url: str, expected: str) -> None:
    assert resolve(parent, url) == expected
