from pathlib import Path

import pytest

from scalemesh.client import upload
from scalemesh.errors import InvalidInput


def tree(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)


def sent(folder: Path) -> list[str]:
    return [file.path for file in upload.files(folder)]


def test_leaves_out_what_is_never_sent(tmp_path: Path) -> None:
    tree(
        tmp_path,
        "index.html",
        ".git/config",
        "node_modules/x/index.js",
        "src/a.js",
        ".env.local",
        "pkg/node_modules/y.js",
    )
    assert sent(tmp_path) == ["index.html", "src/a.js"]


def test_vercelignore_takes_the_place_of_gitignore(tmp_path: Path) -> None:
    tree(tmp_path, "index.html", "a.log", "b.tmp")
    (tmp_path / ".gitignore").write_text("*.log\n")
    (tmp_path / ".vercelignore").write_text("*.tmp\n")
    assert sent(tmp_path) == [".vercelignore", "a.log", "index.html"]


def test_never_follows_a_link(tmp_path: Path) -> None:
    tree(tmp_path, "site/index.html", "secret.txt")
    (tmp_path / "site/link.txt").symlink_to(tmp_path / "secret.txt")
    (tmp_path / "site/folder").symlink_to(tmp_path)
    assert sent(tmp_path / "site") == ["index.html"]


def test_an_executable_stays_one(tmp_path: Path) -> None:
    tree(tmp_path, "build.sh", "plain.txt")
    (tmp_path / "build.sh").chmod(0o755)
    assert {file.path: file.executable for file in upload.files(tmp_path)} == {"build.sh": True, "plain.txt": False}


def test_an_empty_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no files"):
        upload.files(tmp_path)
