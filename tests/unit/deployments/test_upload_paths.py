"""Paths of an upload stay inside the folder they are unpacked into."""

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalemesh.core.build import UploadFile
from scalemesh.deployments.uploads import MAX_FILES, check_paths
from scalemesh.errors import InvalidInput


def files(*paths: str) -> list[UploadFile]:
    return [UploadFile(path=path, sha256="0" * 64, size=0) for path in paths]


def test_ordinary() -> None:
    check_paths(files("index.html", "a/b/c.txt", ".well-known/x", "über.txt", "a/.gitignore"))


@pytest.mark.parametrize(
    "paths", [[], ["a", "a"], ["a", "a/b"], ["a/b/c", "a/b"], ["x" * 1025], ["u\u0308.txt"], ["\ud800"]]
)
def test_refused(paths: list[str]) -> None:
    with pytest.raises(InvalidInput):
        check_paths(files(*paths))


def test_too_many() -> None:
    with pytest.raises(InvalidInput):
        check_paths(files(*(str(n) for n in range(MAX_FILES + 1))))


@given(st.text(st.sampled_from("ab./\\\0\n~"), max_size=12))
def test_whatever_passes_stays_inside(path: str) -> None:
    try:
        check_paths(files(path))
    except InvalidInput:
        return
    assert posixpath.normpath(posixpath.join("/root", path)) == f"/root/{path}"
