"""The SQLite archive on a real disk: the contract, restarts, `kill -9`, other people's damage."""

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scalemesh.core.logs import LogLine
from scalemesh.errors import BadSettings, InvalidInput, Unavailable
from scalemesh.logs import LogService, open_bus
from scalemesh.logs.archive.base import Archive
from scalemesh.logs.archive.sqlite import MIGRATIONS, SqliteArchive
from scalemesh.testing.archive_contract import ArchiveContract
from scalemesh.testing.log_lines import DEPLOYMENT, lines, numbers


def at(folder: Path) -> SqliteArchive:
    return SqliteArchive(f"sqlite:///{folder}/data/logs.db")


class TestSqliteArchive(ArchiveContract):
    @pytest.fixture
    async def archive(self, tmp_path: Path) -> AsyncIterator[Archive]:
        async with at(tmp_path) as archive:
            yield archive


async def test_lines_outlive_the_process(tmp_path: Path) -> None:
    async with at(tmp_path) as archive:
        await archive.append(lines(0, 1))
    async with at(tmp_path) as archive:
        assert await archive.read(DEPLOYMENT) == lines(0, 1)


async def test_every_commit_reaches_the_disk(tmp_path: Path) -> None:
    async with at(tmp_path) as archive:
        pragmas = await archive._writer.run(
            lambda db: [db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
        )
    assert pragmas == ["wal", 2]  # 2 is FULL


async def test_a_batch_is_stored_whole_or_not_at_all(tmp_path: Path) -> None:
    async with at(tmp_path) as archive:
        with pytest.raises(InvalidInput):
            await archive.append([*lines(0), LogLine(deployment=DEPLOYMENT, attempt=1, seq=1, ts=2**70)])
        assert await archive.read(DEPLOYMENT) == []


async def test_text_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    async with at(tmp_path) as archive:
        with pytest.raises(InvalidInput):
            await archive.append([LogLine(deployment=DEPLOYMENT, attempt=1, seq=0, ts=0, text="\ud800")])


@pytest.mark.parametrize("seq", [-1, 2**32])
async def test_a_number_out_of_range_is_refused(tmp_path: Path, seq: int) -> None:
    async with at(tmp_path) as archive:
        with pytest.raises(InvalidInput):
            await archive.append(lines(seq))


async def test_the_highest_number_stays_in_its_log(tmp_path: Path) -> None:
    async with at(tmp_path) as archive:
        await archive.append([*lines(2**32 - 1, deployment="dpl_a"), *lines(0, deployment="dpl_b")])
        assert [numbers(await archive.read(name)) for name in ("dpl_a", "dpl_b")] == [[2**32 - 1], [0]]


async def test_a_locked_file_is_unavailable(tmp_path: Path) -> None:
    async with at(tmp_path) as archive:
        await archive._writer.run(lambda db: db.execute("PRAGMA busy_timeout=1"))
        other = sqlite3.connect(tmp_path / "data/logs.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable):
            await archive.append(lines(0))
        other.execute("ROLLBACK")
        other.close()
        await archive.append(lines(0))
        assert await archive.read(DEPLOYMENT) == lines(0)


async def test_two_processes_may_open_one_archive_at_once(tmp_path: Path) -> None:
    archives = [at(tmp_path) for _ in range(4)]
    await asyncio.gather(*(archive.__aenter__() for archive in archives))
    await asyncio.gather(*(archive.append(lines(seq)) for seq, archive in enumerate(archives)))
    assert numbers(await archives[0].read(DEPLOYMENT)) == [0, 1, 2, 3]
    for archive in archives:
        await archive.__aexit__()


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    async with at(tmp_path) as archive:
        await archive._writer.run(lambda db: db.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1}"))
    with pytest.raises(BadSettings):
        await at(tmp_path).__aenter__()


async def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/logs.db").write_bytes(b"not a database, but long enough to be one" * 100)
    with pytest.raises(Unavailable):
        await at(tmp_path).__aenter__()


async def test_a_closed_archive_says_so(tmp_path: Path) -> None:
    async with at(tmp_path) as archive:
        pass
    with pytest.raises(Unavailable):
        await archive.read(DEPLOYMENT)


async def test_closing_twice_is_no_trouble(tmp_path: Path) -> None:
    async with at(tmp_path) as archive:
        await archive.__aexit__()


WRITER = f"""
import asyncio, sys
from scalemesh.logs import LogService, open_archive, open_bus
from scalemesh.testing.log_lines import lines

async def main():
    async with LogService(open_bus("memory://"), open_archive(sys.argv[1])) as logs:
        for first in range(0, 10**6, 7):
            await logs.publish(lines(*range(first, first + 7), deployment="{DEPLOYMENT}"))
            print(first + 7, flush=True)

asyncio.run(main())
"""


async def test_kill_9_takes_back_no_acknowledged_line(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/logs.db"
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, url, stdout=asyncio.subprocess.PIPE, env=os.environ
    )
    assert writer.stdout
    async with asyncio.timeout(60):
        for _ in range(50):
            acknowledged = int(await writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        rest = (await writer.stdout.read()).splitlines(keepends=True)
        await writer.wait()
    acknowledged = max([acknowledged, *(int(line) for line in rest if line.endswith(b"\n"))])
    async with LogService(open_bus("memory://"), SqliteArchive(url)) as logs:
        kept = numbers(await logs.read(DEPLOYMENT, limit=10**6))
    assert kept == list(range(len(kept)))
    assert len(kept) >= acknowledged


async def test_a_place_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "data/logs.db").mkdir(parents=True)
    with pytest.raises(Unavailable):
        await at(tmp_path).__aenter__()
