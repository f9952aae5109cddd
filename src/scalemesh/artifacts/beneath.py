"""Files beneath a folder that somebody else filled: no link is followed, also not one put there while we look.

Every component is opened with O_NOFOLLOW relative to the descriptor of its parent, so a folder swapped for a link ends
in an error and never outside. What is neither a regular file nor a folder is reported, not opened.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from scalemesh.core.build import Limits
from scalemesh.errors import BuildFailed

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: opening a FIFO that took the file's place must not wait for its writer.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class Found(NamedTuple):
    """`path` is relative and `/`-separated, as on disk; `kind` is file, link or special; `size` in bytes."""

    path: str
    kind: str
    size: int


def open_folder(root: Path, relative: str = "") -> int:
    """The descriptor of `root/relative`; the caller closes it. `root` itself is no link, but may be closed.

    Raises BuildFailed: output_missing, output_not_a_folder, output_outside, output_unreadable.
    """
    try:
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError as error:
        raise _unreadable(relative or ".", error) from error
    try:
        for part in _parts(relative):
            parent, fd = fd, _step(fd, part, relative)
            os.close(parent)
    except BaseException:
        os.close(fd)
        raise
    return fd


def open_file(root_fd: int, path: str) -> int:
    """The descriptor of a regular file at `path`; the caller closes it. Raises BuildFailed: output_unreadable."""
    try:
        return _open_file(root_fd, path)
    except OSError as error:
        raise _unreadable(path, error) from error


def _open_file(root_fd: int, path: str) -> int:
    *folders, leaf = path.split("/")
    parent = os.dup(root_fd)
    try:
        for folder in folders:
            child = os.open(folder, _FOLDER, dir_fd=parent)
            os.close(parent)
            parent = child
        fd = os.open(leaf, _FILE, dir_fd=parent)
    finally:
        os.close(parent)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return fd


class Walk:
    """Everything beneath a folder but folders, sorted within each; paths that `skip` answers True for are passed over.

    Raises BuildFailed past the limits, before a hostile tree can cost memory, descriptors or stack.
    """

    def __init__(self, limits: Limits, skip: Callable[[str], bool]) -> None:
        self._limits = limits
        self._skip = skip
        self._seen = 0

    def beneath(self, fd: int, prefix: str = "") -> Iterator[Found]:
        for path, kind, size in self._listed(fd, prefix):
            if len(os.fsencode(path)) >= self._limits.path_bytes:
                raise BuildFailed(f"A path of the output is too long: {shown(path)}", code="path_too_long")
            if kind != "folder":
                yield Found(path, kind, size)
                continue
            child = self._enter(fd, path)
            try:
                yield from self.beneath(child, f"{path}/")
            finally:
                os.close(child)

    def _enter(self, fd: int, path: str) -> int:
        try:
            return os.open(path.rpartition("/")[2], _FOLDER, dir_fd=fd)
        except OSError as error:
            raise _unreadable(path, error) from error

    def _listed(self, fd: int, prefix: str) -> list[tuple[str, str, int]]:
        listed = []
        with os.scandir(fd) as entries:
            for entry in entries:
                self._count()
                if not self._skip(path := prefix + entry.name):
                    kind = _kind(entry)
                    listed.append((path, kind, entry.stat(follow_symlinks=False).st_size if kind == "file" else 0))
        return sorted(listed)

    def _count(self) -> None:
        self._seen += 1
        if self._seen > self._limits.output_files:
            raise BuildFailed(
                f"The output has more than {self._limits.output_files} files and folders",
                code="output_too_many_files",
                hint="Leave some out, or raise SCALEMESH_BUILD_OUTPUT_FILES.",
            )


def shown(path: str) -> str:
    """A path from disk as it may appear in a message: quoted, one line, valid UTF-8."""
    return ascii(path) if any(0xDC80 <= ord(char) <= 0xDCFF for char in path) else repr(path)


def _kind(entry: "os.DirEntry[str]") -> str:
    if entry.is_symlink():
        return "link"
    if entry.is_dir(follow_symlinks=False):
        return "folder"
    return "file" if entry.is_file(follow_symlinks=False) else "special"


def _parts(relative: str) -> list[str]:
    parts = [part for part in relative.split("/") if part not in {"", "."}]
    if ".." in parts or relative.startswith("/"):
        raise BuildFailed(f"The output directory {relative!r} leaves the project", code="output_outside")
    return parts


def _step(parent: int, part: str, relative: str) -> int:
    try:
        return os.open(part, _FOLDER, dir_fd=parent)
    except FileNotFoundError as error:
        raise BuildFailed(
            f"The build left no output directory {relative!r}",
            code="output_missing",
            hint="Set the project's output directory to the folder that the build writes.",
        ) from error
    except OSError as error:
        # Linux answers ENOTDIR, not ELOOP, for a link opened with O_DIRECTORY | O_NOFOLLOW.
        if error.errno not in {errno.ENOTDIR, errno.ELOOP}:
            raise _unreadable(relative, error) from error
        raise BuildFailed(
            f"The output directory {relative!r} is not a folder, or is reached through a link",
            code="output_not_a_folder",
            hint="Let the build write a real folder inside the project.",
        ) from error


def _unreadable(path: str, error: OSError) -> BuildFailed:
    return BuildFailed(f"{shown(path)} in the output cannot be read: {error.strerror}", code="output_unreadable")
