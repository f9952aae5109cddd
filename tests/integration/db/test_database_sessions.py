"""Reads, writes, and many of them at once."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from scalemesh.db import Database
from scalemesh.db.tables import Installation
from scalemesh.errors import BadSettings, Unavailable
from scalemesh.projects.hosts import bump
from scalemesh.testing.engines import Postgres


@pytest.fixture
async def db(database_url: str):  # type: ignore[no-untyped-def]
    async with Database(database_url) as opened:
        yield opened


async def test_exception_rolls_back(db: Database) -> None:
    async def fails() -> None:
        async with db.write() as session:
            session.add(Installation(key="k", value="v"))
            await session.flush()
            raise KeyError

    with pytest.raises(KeyError):
        await fails()
    async with db.read() as session:
        assert await session.get(Installation, "k") is None


async def test_rows_stay_usable(db: Database) -> None:
    async with db.write() as session:
        row = Installation(key="k", value="v")
        session.add(row)
    assert row.value == "v"


async def test_versions_are_committed_in_order(db: Database) -> None:
    """Whoever reads version V finds everything that V and all before it wrote."""
    seen: list[tuple[int, int]] = []

    async def write(n: int) -> None:
        async with db.write() as session:
            version = await bump(session)
            session.add(Installation(key=f"v{version}", value=str(n)))

    async def read() -> None:
        while not seen or seen[-1][0] < 31:
            async with db.read() as session:
                version = await session.scalar(text("SELECT value FROM counters")) or 1
                rows = await session.scalar(text("SELECT count(*) FROM installation")) or 0
            seen.append((version, rows))

    async with asyncio.timeout(60):
        await asyncio.gather(read(), *(write(n) for n in range(30)))
    assert [pair for pair in seen if pair[1] < pair[0] - 1] == []


async def test_writes_at_once_all_happen(db: Database) -> None:
    async with db.write() as session:
        session.add(Installation(key="n", value="0"))

    async def add() -> None:
        async with db.write() as session:
            row = await session.get_one(Installation, "n", with_for_update=True)
            row.value = str(int(row.value) + 1)

    await asyncio.gather(*(add() for _ in range(40)))
    async with db.read() as session:
        assert (await session.get_one(Installation, "n")).value == "40"


async def test_two_processes_worth_of_writers(database_url: str) -> None:
    """Without a lock in common: the busy timeout and row locks see to it."""
    async with Database(database_url) as one, Database(database_url) as two:

        async def add(db: Database) -> int:
            async with db.write() as session:
                return await bump(session)

        versions = await asyncio.gather(*(add(db) for db in [one, two] * 10))
    assert sorted(versions) == list(range(2, 22))


async def test_memory_is_refused() -> None:
    with pytest.raises(BadSettings):
        await Database("sqlite+aiosqlite://").__aenter__()


async def test_not_entered() -> None:
    with pytest.raises(RuntimeError, match="enter"):
        _ = Database("sqlite+aiosqlite:///x").engine


@pytest.mark.parametrize("url", ["mysql://x/y", "postgresql://localhost/x", "sqlite:///x.db"])
async def test_unknown_engine_says_what_is_known(url: str) -> None:
    with pytest.raises(BadSettings) as caught:
        await Database(url).__aenter__()
    assert "postgresql+asyncpg" in (caught.value.hint or "")


async def _raise(db: Database, state: str) -> None:
    async with db.read() as session:
        await session.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{state}'; END $$"))


@pytest.mark.parametrize("state", ["57P03", "57P01", "08006", "53300", "40P01"])
async def test_server_that_recovers_or_has_no_room_is_asked_again(postgres_server: Postgres, state: str) -> None:
    async with Database(await postgres_server.empty()) as db:
        with pytest.raises(Unavailable) as caught:
            await _raise(db, state)
    assert caught.value.code == "database_unavailable"


async def test_a_fault_of_our_own_is_no_excuse(postgres_server: Postgres) -> None:
    async with Database(await postgres_server.empty()) as db:
        with pytest.raises(DBAPIError):
            await _raise(db, "22012")
