"""A folder as one blob and back: a tar in zstd. The same folder gives the same bytes, whoever archives it, and when.

GNU tar does the work, in a process of its own: a tree of dependencies has tens of thousands of files. It follows no
link while it reads, and none that it has itself unpacked.
"""

import asyncio
import hashlib
import os
import subprocess
from collections.abc import AsyncIterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import zstandard

from scalemesh.artifacts.spool import Spool
from scalemesh.core.build import BlobRef
from scalemesh.errors import InvalidInput

_LEVEL = 3
_THREADS = 2
_PIPE_BYTES = 256 * 1024
_SLICE_BYTES = 1024  # zeros shrink 32,000-fold: what is unpacked at once must fit in memory
_CREATE = ("--create", "--format=gnu", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--anchored",
           "--no-wildcards", "--file=-")  # fmt: skip
_EXTRACT = ("--extract", "--no-same-owner", "--file=-")


async def pack(folder: int, spool: Spool, max_bytes: int, without: Sequence[str] = ()) -> BlobRef:
    """The folder behind a descriptor, but those beneath it that are named, written to the spool's start.

    Raises InvalidInput (`archive_too_large`), or OSError, as for a file that cannot be read.
    """
    where = (f"--directory=/proc/self/fd/{folder}", *(f"--exclude=./{path}" for path in without), ".")
    with _tar(*_CREATE, *where, stdout=subprocess.PIPE, pass_fds=(folder,)) as tar:
        return await asyncio.to_thread(_compress, tar, spool, max_bytes)


async def unpack(chunks: AsyncIterable[bytes], sha256: str, folder: Path, max_bytes: int) -> None:
    """Fills an empty folder. Only on return is it what was packed.

    Raises InvalidInput (`archive_too_large`, `hash_mismatch`) or OSError; what is in the folder is then to be removed.
    """
    with _tar(*_EXTRACT, f"--directory={folder}", stdin=subprocess.PIPE) as tar:
        sink = _Sink(tar, max_bytes)
        async for chunk in chunks:
            await asyncio.to_thread(sink.write, chunk)
        await asyncio.to_thread(sink.finish, sha256)


def _compress(tar: "subprocess.Popen[bytes]", spool: Spool, max_bytes: int) -> BlobRef:
    digest, size = hashlib.sha256(), 0
    compressor = zstandard.ZstdCompressor(level=_LEVEL, threads=_THREADS).compressobj()
    source = _pipe(tar.stdout)
    while True:
        chunk = source.read(_PIPE_BYTES)
        data = compressor.compress(chunk) if chunk else compressor.flush()
        if size + len(data) > max_bytes:
            raise _too_large(max_bytes)
        spool.write(data, size)
        digest.update(data)
        size += len(data)
        if not chunk:
            break
    _check(tar)
    return BlobRef(sha256=digest.hexdigest(), size=size)


class _Sink:
    """Takes an archive's bytes, unpacks them, and knows their hash at the end."""

    def __init__(self, tar: "subprocess.Popen[bytes]", max_bytes: int) -> None:
        self._tar = tar
        self._into = _pipe(tar.stdin)
        self._max_bytes = max_bytes
        self._left = max_bytes
        self._digest = hashlib.sha256()
        self._decompressor = zstandard.ZstdDecompressor().decompressobj()

    def write(self, chunk: bytes) -> None:
        self._digest.update(chunk)
        try:
            for at in range(0, len(chunk), _SLICE_BYTES):
                data = self._decompressor.decompress(chunk[at : at + _SLICE_BYTES])
                self._left -= len(data)
                if self._left < 0:
                    raise _too_large(self._max_bytes)
                self._write(data)
        except zstandard.ZstdError as error:
            raise OSError(f"not an archive: {error}") from error

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self._into.write(view) :]

    def finish(self, sha256: str) -> None:
        if self._digest.hexdigest() != sha256:
            raise InvalidInput(f"These bytes are not {sha256}", code="hash_mismatch")
        self._into.close()
        _check(self._tar)


@contextmanager
def _tar(*argv: str, **pipes: Any) -> Iterator["subprocess.Popen[bytes]"]:
    """Killed at the end, which also ends the thread that reads or writes its pipe."""
    env = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    process = subprocess.Popen(
        ("tar", *argv), env=env, stderr=subprocess.DEVNULL, bufsize=0, pipesize=_PIPE_BYTES, **pipes
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise OSError("tar has no pipe")
    return pipe


def _check(tar: "subprocess.Popen[bytes]") -> None:
    if code := tar.wait():
        raise OSError(f"tar ended with {code}")


def _too_large(max_bytes: int) -> InvalidInput:
    return InvalidInput(f"The archive is over {max_bytes} bytes", code="archive_too_large")
