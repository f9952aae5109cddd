import errno
import os
from pathlib import Path

import pytest

from scalemesh.sandbox import folders
from scalemesh.sandbox.watch import UNCOUNTABLE_BYTES, usage_bytes


def deepen(folder: Path, levels: int) -> None:
    """Folders in folders, further down than any path can name."""
    fd = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("deep-deep-deep-deep", dir_fd=fd)
        child = os.open("deep-deep-deep-deep", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = child
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)


def test_a_folder_nested_without_end_is_removed(tmp_path: Path) -> None:
    (folder := tmp_path / "build").mkdir()
    deepen(folder, 1500)
    with pytest.raises(OSError, match="too long") as refused:
        Path(str(folder) + "/deep-deep-deep-deep" * 1500).stat()
    assert refused.value.errno == errno.ENAMETOOLONG
    folders.remove(folder)
    assert not folder.exists()


def test_links_and_closed_folders_are_removed_and_what_a_link_names_is_not(tmp_path: Path) -> None:
    (kept := tmp_path / "kept").mkdir()
    (kept / "file").touch()
    (closed := tmp_path / "build" / "closed").mkdir(parents=True)
    (closed / "link").symlink_to(kept)
    (closed / "file").touch()
    closed.chmod(0)
    folders.remove(tmp_path / "build")
    assert list(tmp_path.iterdir()) == [kept]
    assert (kept / "file").exists()


def test_many_folders_in_many_folders_are_removed(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"folder/{number % 20}/{number}/below").mkdir(parents=True)
        (tmp_path / f"folder/{number % 20}/{number}/file").touch()
    folders.remove(tmp_path / "folder")
    assert list(tmp_path.iterdir()) == []


def test_removing_what_is_gone_is_fine(tmp_path: Path) -> None:
    folders.remove(tmp_path / "nothing")


def test_what_no_path_can_name_counts_as_too_much(tmp_path: Path) -> None:
    deepen(tmp_path, 40)
    assert usage_bytes(tmp_path) < 1024**2
    (other := tmp_path / "other").mkdir()
    deepen(other, 300)
    assert usage_bytes(tmp_path) == UNCOUNTABLE_BYTES
    folders.remove(other)
