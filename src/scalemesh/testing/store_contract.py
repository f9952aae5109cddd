"""What every artifact store must do: subclass StoreContract and give it a `store` fixture."""

import asyncio
import hashlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator

import pytest

from scalemesh.artifacts.store import PART_BYTES, BlobStore
from scalemesh.core.build import BlobRef
from scalemesh.errors import InvalidInput, NotFound

TEAM = "team_01jd0000000000000000000000"
DATA = b"hello, blob"
BIG = bytes(range(256)) * (PART_BYTES // 256 + 4096)  # more than one chunk of anything


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def pieces(data: bytes, size: int = 300_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def everything(chunks: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in chunks])


class StoreContract(ABC):
    @abstractmethod
    @pytest.fixture
    def store(self) -> BlobStore:
        """An empty store."""

    @pytest.mark.parametrize("data", [DATA, b"", BIG], ids=["small", "empty", "big"])
    async def test_gives_back_bytes(self, store: BlobStore, data: bytes) -> None:
        await store.put(TEAM, sha256(data), data)
        assert await store.get(TEAM, sha256(data)) == data

    @pytest.mark.parametrize("data", [DATA, b"", BIG], ids=["small", "empty", "big"])
    async def test_gives_back_a_stream(self, store: BlobStore, data: bytes) -> None:
        await store.put(TEAM, sha256(data), pieces(data))
        assert await everything(store.stream(TEAM, sha256(data))) == data

    async def test_put_answers_the_size(self, store: BlobStore) -> None:
        assert await store.put(TEAM, sha256(BIG), pieces(BIG)) == len(BIG)

    async def test_put_twice_changes_nothing(self, store: BlobStore) -> None:
        await store.put(TEAM, sha256(DATA), DATA)
        await store.put(TEAM, sha256(DATA), DATA)
        assert await store.get(TEAM, sha256(DATA)) == DATA

    async def test_the_same_blob_put_many_times_at_once(self, store: BlobStore) -> None:
        await asyncio.gather(*(store.put(TEAM, sha256(BIG), pieces(BIG)) for _ in range(4)))
        assert await store.get(TEAM, sha256(BIG)) == BIG

    @pytest.mark.parametrize("data", [DATA, BIG], ids=["small", "big"])
    async def test_a_false_hash_is_refused_and_nothing_is_stored(self, store: BlobStore, data: bytes) -> None:
        with pytest.raises(InvalidInput) as refused:
            await store.put(TEAM, sha256(b"something else"), pieces(data))
        assert refused.value.code == "hash_mismatch"
        assert await store.head(TEAM, sha256(b"something else")) is None

    async def test_a_refused_blob_leaves_the_one_that_is_there(self, store: BlobStore) -> None:
        await store.put(TEAM, sha256(DATA), DATA)
        with pytest.raises(InvalidInput):
            await store.put(TEAM, sha256(DATA), pieces(BIG))
        assert await store.get(TEAM, sha256(DATA)) == DATA

    async def test_a_blob_over_the_limit_is_refused(self, store: BlobStore) -> None:
        with pytest.raises(InvalidInput) as refused:
            await store.put(TEAM, sha256(BIG), pieces(BIG), max_bytes=len(BIG) - 1)
        assert refused.value.code == "blob_too_large"
        assert await store.head(TEAM, sha256(BIG)) is None

    async def test_a_source_that_breaks_off_leaves_nothing(self, store: BlobStore) -> None:
        async def broken() -> AsyncIterator[bytes]:
            async for piece in pieces(BIG):
                yield piece
            raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            await store.put(TEAM, sha256(BIG), broken())
        assert await store.head(TEAM, sha256(BIG)) is None

    async def test_a_put_that_is_cancelled_leaves_nothing(self, store: BlobStore) -> None:
        stuck = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            async for piece in pieces(BIG):
                yield piece
            stuck.set()
            await asyncio.Event().wait()

        putting = asyncio.create_task(store.put(TEAM, sha256(BIG), endless()))
        await asyncio.wait_for(stuck.wait(), 10)
        putting.cancel()
        await asyncio.wait([putting], timeout=10)
        assert putting.cancelled()
        assert await store.head(TEAM, sha256(BIG)) is None

    @pytest.mark.parametrize(("start", "end"), [(0, 1), (5, 10), (1_000_000, 3_000_000), (len(BIG) - 1, len(BIG))])
    async def test_streams_a_range(self, store: BlobStore, start: int, end: int) -> None:
        await store.put(TEAM, sha256(BIG), BIG)
        assert await everything(store.stream(TEAM, sha256(BIG), start, end)) == BIG[start:end]

    async def test_streams_from_a_number_on(self, store: BlobStore) -> None:
        await store.put(TEAM, sha256(DATA), DATA)
        assert await everything(store.stream(TEAM, sha256(DATA), 7)) == DATA[7:]

    async def test_get_of_what_is_absent(self, store: BlobStore) -> None:
        with pytest.raises(NotFound):
            await store.get(TEAM, sha256(DATA))

    async def test_stream_of_what_is_absent(self, store: BlobStore) -> None:
        with pytest.raises(NotFound):
            await everything(store.stream(TEAM, sha256(DATA)))

    async def test_head_is_the_size(self, store: BlobStore) -> None:
        await store.put(TEAM, sha256(DATA), DATA)
        assert await store.head(TEAM, sha256(DATA)) == len(DATA)

    async def test_head_of_what_is_absent(self, store: BlobStore) -> None:
        assert await store.head(TEAM, sha256(DATA)) is None

    async def test_teams_do_not_share(self, store: BlobStore) -> None:
        await store.put(TEAM, sha256(DATA), DATA)
        assert await store.head("team_other", sha256(DATA)) is None

    async def test_delete(self, store: BlobStore) -> None:
        await store.put(TEAM, sha256(DATA), DATA)
        await store.delete(TEAM, sha256(DATA))
        assert await store.head(TEAM, sha256(DATA)) is None

    async def test_delete_of_what_is_absent_is_no_trouble(self, store: BlobStore) -> None:
        await store.delete(TEAM, sha256(DATA))

    async def test_lists_one_team(self, store: BlobStore) -> None:
        await store.put(TEAM, sha256(DATA), DATA)
        await store.put(TEAM, sha256(b""), b"")
        await store.put("team_other", sha256(b"x"), b"x")
        listed = {ref async for ref in store.list(TEAM)}
        assert listed == {BlobRef(sha256=sha256(DATA), size=len(DATA)), BlobRef(sha256=sha256(b""), size=0)}

    async def test_lists_nothing_of_an_unknown_team(self, store: BlobStore) -> None:
        assert [ref async for ref in store.list(TEAM)] == []

    @pytest.mark.parametrize("name", ["", "..", "x" * 64, sha256(b"").upper(), "../" + sha256(b"")])
    async def test_only_a_hash_is_a_name(self, store: BlobStore, name: str) -> None:
        with pytest.raises(InvalidInput):
            await store.put(TEAM, name, b"")

    @pytest.mark.parametrize("team", ["", "..", "a/b", "../x"])
    async def test_only_an_id_is_a_team(self, store: BlobStore, team: str) -> None:
        with pytest.raises(InvalidInput):
            await store.put(team, sha256(b""), b"")
