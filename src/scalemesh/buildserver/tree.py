"""What lies in a repository, read without following a link, while no process of its build is alive."""

import hashlib
import os
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Self

from scalemesh.artifacts import beneath
from scalemesh.errors import BuildFailed

MAX_LISTED = 100_000
MAX_DEPTH = 64  # of folders: each costs a descriptor and some stack while it is walked
MAX_READ_BYTES = 2 * 1024**2


class Tree:
    """`relative` below `root`. Use with `with`; raises BuildFailed where it is not there or behind a link."""

    def __init__(self, root: Path, relative: str = "") -> None:
        self._root = root
        self._relative = relative.strip("/")

    def __enter__(self) -> Self:
        self._fd = beneath.open_folder(self._root, self._relative)
        return self

    def __exit__(self, *exc_info: object) -> None:
        os.close(self._fd)

    def listing(self, skip: Collection[str]) -> list[str]:
        """Relative paths of files, sorted by folder; at most MAX_LISTED, none deeper than MAX_DEPTH or in `skip`."""
        found: list[str] = []
        for base, names, leaves, _ in os.fwalk(".", dir_fd=self._fd):
            names[:] = sorted(name for name in names if name not in skip) if base.count("/") < MAX_DEPTH else []
            found += [(PurePosixPath(base) / leaf).as_posix() for leaf in sorted(leaves)]
            if len(found) >= MAX_LISTED:
                break
        return found[:MAX_LISTED]

    def read(self, path: str) -> bytes | None:
        """A file's first MAX_READ_BYTES; None where there is none, or a link."""
        try:
            fd = beneath.open_file(self._fd, path)
        except BuildFailed:  # for whoever looks for a file, one that cannot be read is not there
            return None
        with os.fdopen(fd, "rb") as file:
            return file.read(MAX_READ_BYTES)

    def digest(self, path: str) -> bytes:
        """Of the whole file, however large; empty where there is none, or a link."""
        try:
            fd = beneath.open_file(self._fd, path)
        except BuildFailed:
            return b""
        with os.fdopen(fd, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
