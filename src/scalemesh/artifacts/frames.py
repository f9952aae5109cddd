"""Many blobs in one body: for each, 32 bytes SHA-256, 8 bytes size (big-endian), then its bytes.

Used where an agent or the CLI sends blobs to the API. The hash is a claim; whoever stores the bytes checks it.
"""

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable

from scalemesh.errors import InvalidInput

HEADER_BYTES = 40
BUNDLE_BYTES = 256 * 1024

Frame = tuple[str, int, AsyncIterator[bytes]]
"""(sha256, size, its bytes in chunks)."""


async def encode(blobs: Iterable[tuple[str, int, AsyncIterable[bytes]]]) -> AsyncGenerator[bytes, None]:
    """The body, in pieces of at least BUNDLE_BYTES but the last. Raises InvalidInput if a blob is not of its size."""
    pending = bytearray()
    for sha256, size, chunks in blobs:
        pending += bytes.fromhex(sha256) + size.to_bytes(8, "big")
        left = size
        async for chunk in chunks:
            left -= len(chunk)
            pending += chunk
            if len(pending) >= BUNDLE_BYTES:
                yield bytes(pending)
                pending.clear()
        if left:
            raise InvalidInput(f"Blob {sha256} is not {size} bytes long any more", code="size_mismatch")
    if pending:
        yield bytes(pending)


async def decode(body: AsyncIterable[bytes], *, max_blob_bytes: int | None = None) -> AsyncGenerator[Frame, None]:
    """Each blob in turn. Its chunks are read before the next is asked for; what is left of them is skipped.

    Raises InvalidInput: `truncated_frames` where the body ends inside a blob, `blob_too_large`.
    """
    reader = _Reader(body)
    while header := await reader.header():
        sha256, size = header[:32].hex(), int.from_bytes(header[32:], "big")
        if max_blob_bytes is not None and size > max_blob_bytes:
            raise InvalidInput(f"Blob {sha256} is {size} bytes; at most {max_blob_bytes}", code="blob_too_large")
        reader.left = size
        yield sha256, size, reader.chunks()
        async for _ in reader.chunks():
            pass


class _Reader:
    """The body as one run of bytes; `left` counts those of the current blob that are still to come."""

    def __init__(self, body: AsyncIterable[bytes]) -> None:
        self._body = aiter(body)
        self._buffer = b""
        self._at = 0
        self.left = 0

    async def header(self) -> bytes:
        """The next header; empty at the end of the body."""
        header = b""
        while len(header) < HEADER_BYTES:
            if piece := await self._piece(HEADER_BYTES - len(header)):
                header += piece
            elif header:
                raise _truncated()
            else:
                return b""
        return header

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        while self.left:
            piece = await self._piece(self.left)
            if not piece:
                raise _truncated()
            self.left -= len(piece)
            yield piece

    async def _piece(self, at_most: int) -> bytes:
        """Some of the bytes that come next, at least one; empty at the end of the body."""
        while self._at == len(self._buffer):
            chunk = await anext(self._body, None)
            if chunk is None:
                return b""
            self._buffer, self._at = chunk, 0
        piece = self._buffer[self._at : self._at + at_most]
        self._at += len(piece)
        return piece


def _truncated() -> InvalidInput:
    return InvalidInput("The body ends inside a blob", code="truncated_frames", hint="Send it again.")
