import subprocess
from pathlib import Path

import pytest

from scalemesh.testing.git_repository import ENV
from scalemesh.testing.git_server import GitServer


def clone(url: str, to: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", "clone", "--quiet", url, str(to)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        env={**ENV, "GIT_TERMINAL_PROMPT": "0"},
    )


def test_clones_what_was_committed(tmp_path: Path) -> None:
    with GitServer(tmp_path / "repositories") as server:
        repository = server.repository("site", {"index.html": "hello", "a/ü b.txt": b"\x00\xff"})
        repository.commit({"index.html": "changed", "a/ü b.txt": b"\x00\xff"})
        assert clone(repository.url, tmp_path / "clone").returncode == 0
    assert (tmp_path / "clone/index.html").read_text() == "changed"
    assert (tmp_path / "clone/a/ü b.txt").read_bytes() == b"\x00\xff"


def test_clones_a_body_larger_than_one_buffer(tmp_path: Path) -> None:
    with GitServer(tmp_path / "repositories") as server:
        repository = server.repository("site", {f"{n}.txt": str(n) * 100 for n in range(3000)})
        assert clone(repository.url, tmp_path / "clone").stderr == ""


@pytest.mark.parametrize(("userinfo", "expected"), [("", 128), ("ada:wrong@", 128), ("ada:secret@", 0)])
def test_asks_for_the_password(tmp_path: Path, userinfo: str, expected: int) -> None:
    with GitServer(tmp_path / "repositories") as server:
        repository = server.repository("site", {"index.html": "hello"}, password="ada:secret")
        url = repository.url.replace("://", f"://{userinfo}")
        assert clone(url, tmp_path / "clone").returncode == expected


def test_redirects(tmp_path: Path) -> None:
    with GitServer(tmp_path / "repositories") as server:
        repository = server.repository("site", {"index.html": "hello"})
        assert clone(server.redirect("moved", repository.url), tmp_path / "clone").returncode == 0
