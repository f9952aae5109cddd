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
        self.gate = asyncio.Event()
        self.gate.set()

    async def stream(self, team: str, sha256: str) -> AsyncIterator[bytes]:
        self.streams += 1
        await self.gate.wait()
        if self.data is None:
            raise NotFound(f"no {sha256}")
        for start in range(0, len(self.data), 1000):
            yield self.data[start : start + 1000]


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
