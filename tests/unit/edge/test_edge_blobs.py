import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scalemesh.core.build import BlobRef
from scalemesh.edge.blobs import Blobs
from scalemesh.errors import NotFound, Unavailable

DATA = b"some bytes" * 1000
REF = BlobRef(sha256=hashlib.sha256(DATA).hexdigest(), size=len(DATA))


class Source:
    """Counts; answers with `data` in pieces once `gate` is open."""

    def __init__(self, data: bytes | None = DATA) -> None:
        self.data = data
        self.streams = 0
        self.bytes = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def stream(self, team: str, sha256: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        self.streams += 1
        await self.gate.wait()
        if self.data is None:
            raise NotFound(f"no {sha256}")
        data = self.data[start:end]
        self.bytes += len(data)
        for at in range(0, len(data), 1000):
            yield data[at : at + 1000]


def blobs(folder: Path, source: Source, max_bytes: int = 10**9) -> Blobs:
    return Blobs(folder, source, max_bytes)


async def test_one_fetch_for_a_thousand_misses(tmp_path: Path) -> None:
    source = Source()
    source.gate.clear()
    kept = blobs(tmp_path, source)
    asking = [asyncio.create_task(kept.ensure("t", REF)) for _ in range(1000)]
    while not source.streams:
        await asyncio.sleep(0)
    source.gate.set()
    await asyncio.gather(*asking)
    assert source.streams == 1
    assert kept.files.read("t", REF) == DATA


async def test_one_caller_giving_up_does_not_end_the_fetch_of_the_others(tmp_path: Path) -> None:
    source = Source()
    source.gate.clear()
    kept = blobs(tmp_path, source)
    one, other = (asyncio.create_task(kept.ensure("t", REF)) for _ in range(2))
    while not source.streams:
        await asyncio.sleep(0)
    one.cancel()
    source.gate.set()
    await other
    assert source.streams == 1


async def test_an_intact_blob_is_not_fetched_again(tmp_path: Path) -> None:
    source = Source()
    kept = blobs(tmp_path, source)
    await kept.ensure("t", REF)
    await kept.ensure("t", REF)
    assert source.streams == 1


async def test_a_corrupted_blob_is_not_read_and_is_fetched_again(tmp_path: Path) -> None:
    source = Source()
    kept = blobs(tmp_path, source)
    await kept.ensure("t", REF)
    kept.files.path("t", REF.sha256).write_bytes(b"X" + DATA[1:])
    assert kept.files.read("t", REF) is None
    await kept.ensure("t", REF)
    assert kept.files.read("t", REF) == DATA
    assert source.streams == 2


@pytest.mark.parametrize("data", [b"X" + DATA[1:], DATA[:-1], DATA + b"X", b"", None])
async def test_wrong_bytes_from_the_store_leave_nothing_behind(tmp_path: Path, data: bytes | None) -> None:
    kept = blobs(tmp_path, Source(data))
    with pytest.raises(Unavailable):
        await kept.ensure("t", REF)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


async def test_a_failed_fetch_can_be_tried_again(tmp_path: Path) -> None:
    source = Source(None)
    kept = blobs(tmp_path, source)
    with pytest.raises(Unavailable):
        await kept.ensure("t", REF)
    source.data = DATA
    await kept.ensure("t", REF)


async def test_teams_do_not_share(tmp_path: Path) -> None:
    source = Source()
    kept = blobs(tmp_path, source)
    await kept.ensure("t", REF)
    assert kept.files.open("other", REF) is None


async def test_a_link_in_place_of_a_blob_is_not_followed(tmp_path: Path) -> None:
    kept = blobs(tmp_path / "blobs", Source())
    target = tmp_path / "outside"
    target.write_bytes(DATA)
    path = kept.files.path("t", REF.sha256)
    path.parent.mkdir(parents=True)
    path.symlink_to(target)
    with pytest.raises(OSError, match="symbolic link"):
        kept.files.open("t", REF)


def test_names_cannot_leave_the_folder(tmp_path: Path) -> None:
    kept = blobs(tmp_path, Source())
    for team, sha256 in (("..", REF.sha256), ("t", "../../x"), ("t/u", REF.sha256), ("", REF.sha256)):
        with pytest.raises(ValueError, match="not a blob's name"):
            kept.files.path(team, sha256)


def test_eviction_takes_the_blobs_unused_longest(tmp_path: Path) -> None:
    kept = blobs(tmp_path, Source(), max_bytes=5000)
    for age, name in enumerate("abcdef"):
        kept.put("t", name * 64, [bytes(1000)])
        os.utime(kept.files.path("t", name * 64), (1000 - age, 1000 - age))
    assert kept.evict() == 2000
    left = {path.name[0] for path in tmp_path.glob("t/*/*")}
    assert left == {"a", "b", "c", "d"}
    assert kept.evict() == 0


def test_a_killed_fetch_leaves_nothing_after_the_next_start(tmp_path: Path) -> None:
    (tmp_path / ".parts").mkdir()
    (tmp_path / ".parts" / "half").write_bytes(b"x")
    blobs(tmp_path, Source())
    assert list((tmp_path / ".parts").iterdir()) == []


async def read_part(kept: Blobs, start: int, end: int) -> bytes:
    return b"".join([piece async for piece in kept.part("t", REF, start, end)])


async def test_a_part_reads_no_more_than_itself_and_keeps_nothing(tmp_path: Path) -> None:
    source = Source()
    kept = blobs(tmp_path, source)
    assert await read_part(kept, 2500, 4000) == DATA[2500:4000]
    assert source.bytes == 1500
    assert kept.files.open("t", REF) is None


async def test_a_large_part_comes_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scalemesh.edge.blobs.PIECE_BYTES", 700)
    source = Source()
    assert await read_part(blobs(tmp_path, source), 0, 5000) == DATA[:5000]
    assert source.streams == 8


async def test_a_blob_read_in_parts_often_enough_is_fetched_whole(tmp_path: Path) -> None:
    kept = blobs(tmp_path, Source())
    for _ in range(4):
        await read_part(kept, 0, len(DATA) // 4)
    async with asyncio.timeout(10):
        while kept.files.read("t", REF) != DATA:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("data", [DATA[:-1], b"", None])
async def test_a_part_that_is_too_short_is_said_to_be(tmp_path: Path, data: bytes | None) -> None:
    with pytest.raises(Unavailable):
        await read_part(blobs(tmp_path, Source(data)), len(DATA) - 100, len(DATA))


async def test_parts_at_once_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scalemesh.edge.blobs.PARTS_AT_ONCE", 1)
    kept = blobs(tmp_path, Source())
    first = kept.part("t", REF, 0, 10)
    assert await anext(first) == DATA[:10]
    with pytest.raises(Unavailable):
        await read_part(kept, 0, 10)
    await first.aclose()
    assert await read_part(kept, 0, 10) == DATA[:10]


async def test_what_comes_over_the_bound_makes_room_at_once(tmp_path: Path) -> None:
    kept = blobs(tmp_path, Source(), max_bytes=12_000)
    kept.put("t", "a" * 64, [bytes(3000)])
    os.utime(kept.files.path("t", "a" * 64), (1, 1))
    await kept.ensure("t", REF)
    assert [path.name for path in tmp_path.glob("t/*/*")] == [REF.sha256]


async def test_reading_counts_as_use(tmp_path: Path) -> None:
    source = Source()
    kept = blobs(tmp_path, source, max_bytes=12_000)
    await kept.ensure("t", REF)
    kept.put("t", "a" * 64, [bytes(3000)])
    for path in tmp_path.glob("t/*/*"):
        os.utime(path, (2 if path.name == "a" * 64 else 1,) * 2)
    assert kept.files.read("t", REF) == DATA
    kept.evict()
    assert [path.name for path in tmp_path.glob("t/*/*")] == [REF.sha256]
