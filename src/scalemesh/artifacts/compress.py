"""One file's compressed variants, in one pass, at levels that a deploy can afford (brotli 11: 0.8 MB/s a core)."""

import hashlib
import zlib
from collections.abc import Iterable
from typing import NamedTuple, Protocol

import brotli
import zstandard

from scalemesh.artifacts.spool import Spool
from scalemesh.core.build import BlobRef

BROTLI_LEVEL = 5
ZSTD_LEVEL = 9
GZIP_LEVEL = 6


class Variant(NamedTuple):
    """A compressed form, and where in the spool it lies."""

    ref: BlobRef
    offset: int


def compress(chunks: Iterable[bytes], size: int, spool: Spool) -> dict[str, Variant]:
    """The variants smaller than `size`, the file's own size, by encoding."""
    outputs = {
        "br": _Output(_Brotli(), size, spool),
        "zstd": _Output(_zstd(size), size, spool),
        "gzip": _Output(zlib.compressobj(GZIP_LEVEL, wbits=31), size, spool),
    }
    for chunk in chunks:
        for output in outputs.values():
            output.write(chunk)
    return {encoding: variant for encoding, output in outputs.items() if (variant := output.finish())}


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


def _zstd(size: int) -> _Compressor:
    # Tables that fit the file: a third off the time of a small one.
    parameters = zstandard.ZstdCompressionParameters.from_level(ZSTD_LEVEL, source_size=size)
    return zstandard.ZstdCompressor(compression_params=parameters).compressobj()


class _Output:
    """Compressed bytes on their way into the spool; no more of them than the original has."""

    def __init__(self, compressor: _Compressor, limit: int, spool: Spool) -> None:
        self._compressor = compressor
        self._limit = limit
        self._spool = spool
        self._offset = spool.reserve(limit)
        self._digest = hashlib.sha256()
        self._size = 0

    def write(self, chunk: bytes) -> None:
        self._add(self._compressor.compress(chunk))

    def finish(self) -> Variant | None:
        self._add(self._compressor.flush())
        if self._size >= self._limit:
            return None
        return Variant(BlobRef(sha256=self._digest.hexdigest(), size=self._size), self._offset)

    def _add(self, data: bytes) -> None:
        at, self._size = self._size, self._size + len(data)
        if self._size < self._limit:
            self._digest.update(data)
            self._spool.write(data, self._offset + at)
