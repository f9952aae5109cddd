"""The framed body: round trips however it is cut, and refuses what breaks off."""

import asyncio
import hashlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalemesh.artifacts.frames import BUNDLE_BYTES, HEADER_BYTES, decode, encode
from scalemesh.errors import InvalidInput

Blobs = list[tuple[str, bytes]]


def named(*blobs: bytes) -> Blobs:
    return [(hashlib.sha256(blob).hexdigest(), blob) for blob in blobs]


async def cut(data: bytes, sizes: list[int]) -> AsyncIterator[bytes]:
    """`data` in pieces of these sizes, in turn, empty ones too."""
    at = number = 0
    while at < len(data):
        size = sizes[number % len(sizes)]
        yield data[at : at + size]
        at, number = at + size, number + 1


async def encoded(blobs: Blobs, sizes: list[int] | None = None) -> bytes:
    frames = [(sha256, len(blob), cut(blob, sizes or [1000])) for sha256, blob in blobs]
    return b"".join([piece async for piece in encode(frames)])


async def decoded(body: bytes, sizes: list[int]) -> Blobs:
    found = []
    async for sha256, size, chunks in decode(cut(body, sizes)):
        blob = b"".join([chunk async for chunk in chunks])
        assert len(blob) == size
        found.append((sha256, blob))
    return found


SIZES = st.lists(st.integers(0, 200), min_size=1, max_size=5).filter(any)


@given(blobs=st.lists(st.binary(max_size=300), max_size=8), sizes=SIZES)
def test_round_trip(blobs: list[bytes], sizes: list[int]) -> None:
    async def there_and_back() -> Blobs:
        return await decoded(await encoded(named(*blobs), sizes), sizes)

    assert asyncio.run(there_and_back()) == named(*blobs)


@given(blobs=st.lists(st.binary(max_size=100), min_size=1, max_size=4), data=st.data())
def test_a_body_that_breaks_off_is_refused(blobs: list[bytes], data: st.DataObject) -> None:
    body = asyncio.run(encoded(named(*blobs)))
    borders = [sum(HEADER_BYTES + len(blob) for blob in blobs[:count]) for count in range(len(blobs))]
    length = data.draw(st.integers(0, len(body) - 1).filter(lambda length: length not in borders))
    with pytest.raises(InvalidInput) as refused:
        asyncio.run(decoded(body[:length], [64]))
    assert refused.value.code == "truncated_frames"


async def test_the_layout_is_hash_size_bytes() -> None:
    sha256 = hashlib.sha256(b"abc").digest()
    assert await encoded(named(b"abc")) == sha256 + b"\0\0\0\0\0\0\0\x03" + b"abc"


async def test_small_blobs_travel_together() -> None:
    frames = [(sha256, len(blob), cut(blob, [10])) for sha256, blob in named(*[b"%d" % n for n in range(1000)])]
    assert len([piece async for piece in encode(frames)]) == 1


async def test_a_large_blob_is_never_held_whole() -> None:
    blob = bytes(10 * BUNDLE_BYTES)
    frames = [(sha256, len(blob), cut(blob, [65536])) for sha256, blob in named(blob)]
    assert max([len(piece) async for piece in encode(frames)]) <= BUNDLE_BYTES + 65536


@pytest.mark.parametrize("size", [2, 4])
async def test_a_blob_that_changed_its_size_is_refused(size: int) -> None:
    with pytest.raises(InvalidInput) as refused:
        async for _ in encode([("00" * 32, size, cut(b"abc", [1]))]):
            pass
    assert refused.value.code == "size_mismatch"


@pytest.mark.parametrize("read", [0, 1, 3])
async def test_what_is_not_read_of_a_blob_is_skipped(read: int) -> None:
    body = await encoded(named(b"a" * 500, b"second"))
    hashes = []
    async for sha256, _, chunks in decode(cut(body, [100])):
        hashes.append(sha256)
        for _ in range(read):
            await anext(chunks, b"")
        await chunks.aclose()  # type: ignore[attr-defined]  # a consumer may end it at any point
    assert hashes == [sha256 for sha256, _ in named(b"a" * 500, b"second")]


async def test_a_blob_over_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(InvalidInput) as refused:
        await anext(decode(cut(bytes(32) + b"\xff" * 8, [40]), max_blob_bytes=10))
    assert refused.value.code == "blob_too_large"


async def test_an_empty_body_has_no_blobs() -> None:
    assert await decoded(b"", [1]) == []
