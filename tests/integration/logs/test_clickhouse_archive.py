"""The ClickHouse archive on its real engine, in a process of its own: the contract, `kill -9`, schema, retention."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from scalemesh.core.logs import LogLine
from scalemesh.errors import BadSettings, InvalidInput, Unavailable
from scalemesh.logs import open_archive
from scalemesh.logs.archive.base import Archive
from scalemesh.logs.archive.clickhouse import ClickHouseArchive
from scalemesh.logs.archive.clickhouse_schema import MIGRATIONS
from scalemesh.testing.archive_contract import ArchiveContract
from scalemesh.testing.log_engines import ClickHouseEngine
from scalemesh.testing.log_lines import DEPLOYMENT, lines, numbers


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseEngine]:
    with ClickHouseEngine(tmp_path_factory.mktemp("clickhouse")) as engine:
        yield engine


@pytest.fixture
async def archive(engine: ClickHouseEngine) -> AsyncIterator[Archive]:
    async with open_archive(engine.url) as archive:
        yield archive
        assert isinstance(archive, ClickHouseArchive)
        await archive._client.command("TRUNCATE TABLE log_lines")


@pytest.mark.matrix
class TestClickHouseArchive(ArchiveContract):
    @pytest.fixture
    def archive(self, archive: Archive) -> Archive:
        return archive


async def test_keeps_lines_over_a_kill(tmp_path: Path) -> None:
    with ClickHouseEngine(tmp_path) as engine:
        async with open_archive(engine.url) as archive:
            await archive.append(lines(0, 1))
            engine.kill()
            with pytest.raises(Unavailable):
                await archive.append(lines(2))
            engine.start()
            await archive.append(lines(1, 2))
            assert await archive.read(DEPLOYMENT) == lines(0, 1, 2)


@pytest.mark.matrix
async def test_a_merge_keeps_the_first_of_two_lines_with_one_number(archive: ClickHouseArchive) -> None:
    await archive.append(lines(0, attempt=1))
    await archive.append(lines(0, attempt=2))
    await archive._client.command("OPTIMIZE TABLE log_lines FINAL")
    found = await archive._client.query("SELECT attempt FROM log_lines")
    assert found.result_rows == [(1,)]


@pytest.mark.matrix
async def test_opens_again_without_migrating(engine: ClickHouseEngine, archive: ClickHouseArchive) -> None:
    async with ClickHouseArchive(engine.url) as again:
        found = await again._client.query("SELECT version FROM schema_migrations ORDER BY version")
    assert [version for (version,) in found.result_rows] == list(range(1, len(MIGRATIONS) + 1))


@pytest.mark.matrix
async def test_refuses_the_schema_of_a_newer_version(tmp_path: Path) -> None:
    with ClickHouseEngine(tmp_path) as engine:
        async with ClickHouseArchive(engine.url) as archive:
            await archive._client.command("INSERT INTO schema_migrations (version) VALUES (99)")
        with pytest.raises(BadSettings, match="99"):
            async with ClickHouseArchive(engine.url):
                pass


@pytest.mark.matrix
async def test_retention_follows_its_setting(engine: ClickHouseEngine, archive: ClickHouseArchive) -> None:
    async def schema() -> str:
        return str((await archive._client.query("SHOW CREATE TABLE log_lines")).result_rows[0][0])

    async with ClickHouseArchive(f"{engine.url}&retention_days=30"):
        assert "toIntervalDay(30)" in await schema()
    async with ClickHouseArchive(engine.url):
        assert "toIntervalDay" not in await schema()


@pytest.mark.matrix
async def test_a_time_out_of_range_is_refused(archive: Archive) -> None:
    with pytest.raises(InvalidInput):
        await archive.append([LogLine(deployment=DEPLOYMENT, attempt=1, seq=0, ts=2**60)])
    assert numbers(await archive.read(DEPLOYMENT)) == []
