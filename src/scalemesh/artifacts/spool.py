"""One unnamed file for the compressed variants of a whole folder: making a file for each would cost more than
compressing a small one does."""

import io
import os
import tempfile
import threading
from pathlib import Path


class Spool:
    """A sparse file on `folder`'s disk, gone when closed. Who writes reserves the most that it may need beforehand."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115  close() is its end
        self._end = 0
        self._lock = threading.Lock()

    def reserve(self, size: int) -> int:
        """The offset of `size` bytes that are the caller's alone."""
        with self._lock:
            offset, self._end = self._end, self._end + size
        return offset

    def write(self, data: bytes, offset: int) -> None:
        view = memoryview(data)
        while view:
            written = os.pwrite(self._file.fileno(), view, offset)
            view, offset = view[written:], offset + written

    def open(self, offset: int, size: int) -> io.RawIOBase:
        """A reader of those bytes, with a position of its own."""
        return _Part(self._file.fileno(), offset, size)

    def close(self) -> None:
        self._file.close()


class _Part(io.RawIOBase):
    def __init__(self, fd: int, offset: int, size: int) -> None:
        self._fd = fd
        self._at = offset
        self._end = offset + size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what RawIOBase.read passes
        count = os.preadv(self._fd, [memoryview(buffer)[: self._end - self._at]], self._at)
        self._at += count
        return count
