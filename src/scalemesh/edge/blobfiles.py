"""Blobs on the edge's disk, as both keeper and workers see them: where a blob lies, and opening it safely."""

import hashlib
import os
import re
import time
from pathlib import Path

from scalemesh.core.build import BlobRef

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_READ_BYTES = 1024 * 1024


class OpenBlob:
    """An open file; its descriptor lives as long as anybody sends from it."""

    __slots__ = ("fd", "stamp")

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        stat = os.fstat(self.fd)
        self.stamp = (stat.st_ino, stat.st_mtime_ns, stat.st_size)

    @property
    def size(self) -> int:
        return self.stamp[2]

    def used(self) -> None:
        """Note the time, for eviction: many disks are mounted so that reading does not."""
        os.utime(self.fd, ns=(time.time_ns(), self.stamp[1]))

    def unchanged(self) -> bool:
        stat = os.fstat(self.fd)
        return (stat.st_ino, stat.st_mtime_ns, stat.st_size) == self.stamp and stat.st_nlink > 0

    def __del__(self) -> None:
        if hasattr(self, "fd"):
            os.close(self.fd)


class BlobFiles:
    """The folder of blobs: `<team>/<first two digits>/<sha256>`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, team: str, sha256: str) -> Path:
        if not _NAME.fullmatch(team) or not _NAME.fullmatch(sha256):
            raise ValueError(f"not a blob's name: {team}/{sha256}")
        return self.folder / team / sha256[:2] / sha256

    def open(self, team: str, ref: BlobRef) -> OpenBlob | None:
        """The file, if it is here and of the right size; its bytes are not checked yet."""
        try:
            blob = OpenBlob(self.path(team, ref.sha256))
        except FileNotFoundError:
            return None
        return blob if blob.size == ref.size else None

    def read(self, team: str, ref: BlobRef) -> bytes | None:
        """The verified bytes, or None: absent or damaged."""
        blob = self.open(team, ref)
        if blob is None:
            return None
        data = os.pread(blob.fd, ref.size + 1, 0)
        if hashlib.sha256(data).hexdigest() != ref.sha256:
            return None
        blob.used()
        return data

    def intact(self, team: str, ref: BlobRef) -> bool:
        """Whether the file's bytes hash to its name. Reads all of it: not on an event loop."""
        blob = self.open(team, ref)
        if blob is None:
            return False
        digest, offset = hashlib.sha256(), 0
        while chunk := os.pread(blob.fd, _READ_BYTES, offset):
            digest.update(chunk)
            offset += len(chunk)
        return digest.hexdigest() == ref.sha256
