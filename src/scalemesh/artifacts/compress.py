"""One file's compressed variants, in one pass, at the levels that a deploy can afford (docs/architecture.md)."""

import hashlib
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import brotli
import zstandard

from scalemesh.core.build import BlobRef

BROTLI_LEVEL = 5
ZSTD_LEVEL = 9
GZIP_LEVEL = 6


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


class _Brotli:
    def __init__(self) -> None:
        self._brotli = brotli.Compressor(quality=BROTLI_LEVEL)

    def compress(self, data: bytes, /) -> bytes:
        return bytes(self._brotli.process(data))

    def flush(self) -> bytes:
        return bytes(self._brotli.finish())


def compress(chunks: Iterable[bytes], size: int, folder: Path) -> dict[str, BlobRef]:
    """The variants smaller than `size`, by encoding; each lies in `folder` under its SHA-256."""
    outputs = {
        "br": _Output(_Brotli(), folder),
        "zstd": _Output(zstandard.ZstdCompressor(level=ZSTD_LEVEL).compressobj(), folder),
        "gzip": _Output(zlib.compressobj(GZIP_LEVEL, wbits=31), folder),
    }
    try:
        for chunk in chunks:
            for output in outputs.values():
                output.write(chunk)
        return {name: ref for name, output in outputs.items() if (ref := output.finish(size))}
    finally:
        for output in outputs.values():
            output.discard()


class _Output:
    """Compressed bytes on their way into a file; kept only if they are fewer than the original's."""

    def __init__(self, compressor: _Compressor, folder: Path) -> None:
        self._compressor = compressor
        self._folder = folder
        self._part = folder / f"{uuid4().hex}.part"
        self._file = self._part.open("xb", buffering=64 * 1024)
        self._digest = hashlib.sha256()
        self._size = 0

    def write(self, chunk: bytes) -> None:
        self._add(self._compressor.compress(chunk))

    def finish(self, limit: int) -> BlobRef | None:
        self._add(self._compressor.flush())
        self._file.close()
        if self._size >= limit:
            return None
        name = self._digest.hexdigest()
        self._part.replace(self._folder / name)
        return BlobRef(sha256=name, size=self._size)

    def discard(self) -> None:
        self._file.close()
        self._part.unlink(missing_ok=True)

    def _add(self, data: bytes) -> None:
        self._digest.update(data)
        self._size += len(data)
        self._file.write(data)
