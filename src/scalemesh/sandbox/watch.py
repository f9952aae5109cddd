"""Watching what no control group limits here: the disk always, the memory where there is no group for it."""

import contextlib
import errno
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

RESERVE_BYTES = 512 * 1024**2  # below this much free space on its disk a build ends: the platform needs it to survive
RESERVE_FILES = 20_000  # and so many that can still be made
INODE_BYTES = 4096  # what a file costs at least, an empty one too
UNCOUNTABLE_BYTES = 2**62  # for a folder nested deeper than any path can name: whatever it hides is too much
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_AT_LEAST_EVERY_S = 30.0


@dataclass
class DiskWatch:
    """Whether a folder holds more than `limit_bytes`.

    Made while the folder is as good as empty. Counting is dear, so the free space of its disk says when to count;
    files that are deleted but held open by the descendants of `pid` count too.
    """

    directory: Path
    limit_bytes: int
    pid: int | None = None
    _counted: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._used_first = self._used_then = _used(os.statvfs(self.directory))
        self._last_count = self._next_count = time.monotonic()

    def exceeded(self) -> bool:
        """Blocks while it counts."""
        disk = os.statvfs(self.directory)
        if disk.f_bavail * disk.f_frsize < RESERVE_BYTES or (disk.f_files and disk.f_favail < RESERVE_FILES):
            return True
        now, used = time.monotonic(), _used(disk)
        maybe_over = self._counted + _growth(self._used_then, used) > self.limit_bytes
        if now - self._last_count > _AT_LEAST_EVERY_S or (maybe_over and now > self._next_count):
            self._counted = self._count(used)
            took = time.monotonic() - now
            self._used_then, self._last_count, self._next_count = used, now, now + max(0.5, 10 * took)
        return self._counted > self.limit_bytes

    def _count(self, used: "_Used") -> int:
        usage = usage_bytes(self.directory)
        deleted = deleted_bytes(self.pid) if self.pid else 0
        if deleted is None:
            return max(
                usage, _growth(self._used_first, used)
            )  # all that the disk has grown by, whoever else writes there
        return usage + deleted


class _Used(NamedTuple):
    """By everybody. What `files` cost at least, empty or not, is apart: who deletes many hides nobody who writes."""

    content: int
    files: int


def _used(disk: os.statvfs_result) -> _Used:
    return _Used((disk.f_blocks - disk.f_bfree) * disk.f_frsize, (disk.f_files - disk.f_ffree) * INODE_BYTES)


def _growth(then: _Used, now: _Used) -> int:
    return max(now.content - then.content, now.files - then.files)


def usage_bytes(directory: Path) -> int:
    """Disk below `directory`, links not followed, each file once. What vanishes meanwhile does not count."""
    seen: set[tuple[int, int]] = set()  # of those that have several names
    total = 0
    try:
        for info in _walk(directory):
            key = (info.st_dev, info.st_ino)
            if key not in seen:
                if info.st_nlink > 1 and not stat.S_ISDIR(info.st_mode):
                    seen.add(key)
                total += max(info.st_blocks * 512, INODE_BYTES)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return UNCOUNTABLE_BYTES
    return total


def _walk(directory: Path) -> Iterator[os.stat_result]:
    pending = [str(directory)]
    while pending:
        folder = pending.pop()
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), _listing(folder) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    info = entry.stat(follow_symlinks=False)
                    yield info
                    if stat.S_ISDIR(info.st_mode):
                        pending.append(entry.path)


def _listing(folder: str) -> "os._ScandirIterator[str]":
    try:
        return os.scandir(folder)
    except PermissionError:
        # a build hides what it has behind mode 000; the folder is this uid's, opened without following a link
        fd = os.open(folder, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY)
        try:
            os.chmod(f"/proc/self/fd/{fd}", 0o700)  # noqa: PTH101 - a descriptor
        finally:
            os.close(fd)
        return os.scandir(folder)


def deleted_bytes(pid: int) -> int | None:
    """Disk held by deleted files that descendants of `pid` have open; None where one hides what it has open.

    A process does by PR_SET_DUMPABLE, or by being a program that nobody may read.
    """
    found: dict[tuple[int, int], int] = {}
    for process in descendants(pid):
        try:
            os.scandir(f"/proc/{process}/fd").close()
        except PermissionError:
            return None
        except OSError:
            continue  # it has ended
        with contextlib.suppress(OSError):  # it has ended meanwhile
            for fd in Path(f"/proc/{process}/fd").iterdir():
                with contextlib.suppress(OSError):
                    info = fd.stat()
                    if info.st_nlink == 0 and stat.S_ISREG(info.st_mode):
                        found[info.st_dev, info.st_ino] = info.st_blocks * 512
    return sum(found.values())


def memory_bytes(pid: int) -> int:
    """Memory that descendants of `pid` hold (pages of files left out)."""
    total = 0
    for process in descendants(pid):
        with contextlib.suppress(OSError):
            _, resident, shared, *_ = map(int, Path(f"/proc/{process}/statm").read_text().split())
            total += (resident - shared) * _PAGE_BYTES + _shared_bytes(process)
    return total


def _shared_bytes(process: int) -> int:
    """Its part of the memory that it shares with others without a file behind it: nothing frees that but its end."""
    mapped = _kilobytes(Path(f"/proc/{process}/status"), "RssShmem:")
    try:
        return _kilobytes(Path(f"/proc/{process}/smaps_rollup"), "Pss_Shmem:") if mapped else 0
    except PermissionError:
        return mapped  # it hides: all of it


def _kilobytes(path: Path, name: str) -> int:
    words = path.read_text().split()
    return int(words[words.index(name) + 1]) * 1024 if name in words else 0


def descendants(pid: int) -> list[int]:
    """The processes below `pid`, itself left out."""
    children: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                after_name = Path(entry.path, "stat").read_text().rpartition(")")[2]
                children.setdefault(int(after_name.split()[1]), []).append(int(entry.name))
    found, pending = [], [pid]
    while pending:
        below = children.get(pending.pop(), [])
        found += below
        pending += below
    return found
