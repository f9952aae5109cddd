import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scalemesh.sandbox import watch

KB = 1024


def test_usage_counts_blocks_empty_files_and_each_hard_link_once(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "big").write_bytes(bytes(64 * KB))
    os.link(tmp_path / "deep" / "big", tmp_path / "again")
    (tmp_path / "empty").touch()
    assert watch.usage_bytes(tmp_path) == 64 * KB + 2 * watch.INODE_BYTES


def test_usage_does_not_follow_links(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/usr")
    assert watch.usage_bytes(tmp_path) == watch.INODE_BYTES


def test_a_watch_notices_what_is_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_AT_LEAST_EVERY_S", -1.0)  # count every time
    disk = watch.DiskWatch(tmp_path, 100 * KB)
    (tmp_path / "a").write_bytes(bytes(64 * KB))
    assert not disk.exceeded()
    (tmp_path / "b").write_bytes(bytes(64 * KB))
    assert disk.exceeded()


def test_a_full_disk_ends_a_build_before_it_ends_the_platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = watch.DiskWatch(tmp_path, 100 * KB)
    assert not disk.exceeded()
    monkeypatch.setattr(watch, "RESERVE_BYTES", 1 << 60)
    assert disk.exceeded()


def test_a_build_that_uses_up_the_files_of_a_disk_ends_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not os.statvfs(tmp_path).f_files:
        pytest.skip("this file system has no number of files")
    disk = watch.DiskWatch(tmp_path, 100 * KB)
    monkeypatch.setattr(watch, "RESERVE_FILES", 1 << 60)
    assert disk.exceeded()


def test_files_without_content_use_the_disk_too() -> None:
    def disk(free_files: int) -> os.statvfs_result:
        return os.statvfs_result((4096, 4096, 500, 400, 400, 1000, free_files, free_files, 0, 255))

    assert watch._growth(watch._used(disk(900)), watch._used(disk(800))) == 100 * watch.INODE_BYTES


@pytest.mark.parametrize("deleted", [None, 0])
def test_where_a_process_hides_its_files_all_that_the_disk_has_grown_by_counts(
    deleted: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "deleted_bytes", lambda _: deleted)
    monkeypatch.setattr(watch, "_AT_LEAST_EVERY_S", -1.0)  # count every time
    disk = watch.DiskWatch(tmp_path, 100 * KB, os.getpid())
    disk._used_first = watch._Used(0, 0)
    assert disk.exceeded() == (deleted is None)


def test_memory_that_is_shared_counts_once() -> None:
    script = "import mmap, os, sys; m = mmap.mmap(-1, 64 << 20); m.write(bytes(64 << 20)); os.fork(); "
    script += "m.seek(0); m.read(); sys.stdout.write('x'); sys.stdout.flush(); sys.stdin.read()"
    argv = ["sh", "-c", '"$0" -c "$1"; true', sys.executable, script]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as shell:
        try:
            assert shell.stdout
            assert shell.stdout.read(2) == b"xx"
            held = watch.memory_bytes(shell.pid)
        finally:
            os.killpg(shell.pid, signal.SIGKILL)
    assert 64 << 20 <= held < 2 * (64 << 20)


def test_descendants_are_found_through_the_generations() -> None:
    with subprocess.Popen(["sh", "-c", "sleep 60 & echo $!; wait"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        grandchild = int(process.stdout.readline())
        assert grandchild in watch.descendants(os.getpid())
        assert grandchild in watch.descendants(process.pid)
        assert process.pid not in watch.descendants(process.pid)
        assert watch.memory_bytes(os.getpid()) > 0
        os.kill(grandchild, 9)
