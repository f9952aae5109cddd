"""The store on a real disk: the contract, and that nothing half-written is left lying there."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scalemesh.artifacts.store import BlobStore
from scalemesh.errors import InvalidInput, Unavailable
from scalemesh.testing.store_contract import BIG, DATA, TEAM, StoreContract, pieces, sha256


def files(folder: Path) -> list[Path]:
    return [Path(base) / name for base, _, names in os.walk(folder) for name in names]


class TestFileStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> BlobStore:
        return BlobStore(f"file://{tmp_path}/arti facts%20")


async def test_a_blob_lies_under_its_team_and_hash(tmp_path: Path) -> None:
    await BlobStore(f"file://{tmp_path}").put(TEAM, sha256(DATA), DATA)
    assert files(tmp_path) == [tmp_path / "blobs" / TEAM / sha256(DATA)[:2] / sha256(DATA)]


async def test_blobs_outlive_the_store(tmp_path: Path) -> None:
    await BlobStore(f"file://{tmp_path}").put(TEAM, sha256(DATA), DATA)
    assert await BlobStore(f"file://{tmp_path}").get(TEAM, sha256(DATA)) == DATA


async def test_nothing_is_made_before_the_first_use(tmp_path: Path) -> None:
    BlobStore(f"file://{tmp_path}/later")
    assert not (tmp_path / "later").exists()


async def test_a_refused_blob_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        await BlobStore(f"file://{tmp_path}").put(TEAM, sha256(b"x"), pieces(BIG))
    assert files(tmp_path) == []


async def test_a_cancelled_put_leaves_no_file(tmp_path: Path) -> None:
    stuck = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        async for piece in pieces(BIG):
            yield piece
        stuck.set()
        await asyncio.Event().wait()

    putting = asyncio.create_task(BlobStore(f"file://{tmp_path}").put(TEAM, sha256(BIG), endless()))
    await asyncio.wait_for(stuck.wait(), 10)
    assert len(files(tmp_path)) == 1
    putting.cancel()
    await asyncio.wait([putting], timeout=10)
    del putting
    async with asyncio.timeout(10):
        while files(tmp_path):
            await asyncio.sleep(0.01)


async def test_a_disk_that_refuses_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("in the way")
    with pytest.raises(Unavailable):
        await BlobStore(f"file://{tmp_path}").put(TEAM, sha256(DATA), DATA)
