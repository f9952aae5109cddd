"""What `scalemesh explain` says to requests that no edge would answer, and to folders that are not there."""

from pathlib import Path

import pytest

from scalemesh.cli.local import explain
from scalemesh.errors import InvalidInput


@pytest.mark.parametrize(
    ("path", "method", "header", "said"),
    [
        ("about", "GET", [], "'about' is not a path"),
        ("/%zz", "GET", [], "'/%zz' is not a path"),
        ("/a#b", "GET", [], "'/a#b' is not a path"),
        ("/\udcff", "GET", [], "is not a path"),
        ("/", "GE T", [], "'GE T' is not a method"),
        ("/", "GET", ["no"], "'no' is not a header"),
        ("/", "GET", ["X Y: 1"], "'X Y: 1' is not a header"),
        ("/", "GET", ["X: 1\nY: 2"], "is not a header"),
        ("/", "GET", ["Host: a b"], "'a b' is not a host"),
    ],
)
def test_refused(tmp_path: Path, path: str, method: str, header: list[str], said: str) -> None:
    (tmp_path / "index.html").touch()
    with pytest.raises(InvalidInput, match=said):
        explain(str(tmp_path), path, method, header)


@pytest.mark.parametrize(("name", "why"), [("nowhere", "is not there"), ("file", "is a file")])
def test_folder_that_is_none(tmp_path: Path, name: str, why: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match=why):
        explain(str(tmp_path / name), "/", "GET")
