"""The archives of access records on their engines."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from scalemesh.errors import Unavailable
from scalemesh.logs import open_archive
from scalemesh.logs.access.base import AccessArchive, Wanted
from scalemesh.logs.access.clickhouse import ClickHouseAccess
from scalemesh.logs.access.memory import MemoryAccess
from scalemesh.logs.archive.clickhouse import ClickHouseArchive
from scalemesh.logs.archive.clickhouse_schema import ACCESS_RECORDS, ACCESS_TOTALS
from scalemesh.testing.access_contract import AT, PROJECT, AccessContract, batch, record, totals
from scalemesh.testing.log_engines import ClickHouseEngine


class TestMemoryAccess(AccessContract):
    @pytest.fixture
    def access(self) -> MemoryAccess:
        return MemoryAccess()


class TestSqliteAccess(AccessContract):
    @pytest.fixture
    async def access(self, tmp_path: Path) -> AsyncIterator[AccessArchive]:
        async with open_archive(f"sqlite:///{tmp_path}/logs.db") as archive:
            yield archive.access


async def test_sqlite_keeps_records_over_a_restart(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/logs.db"
    async with open_archive(url) as archive:
        await archive.access.append([batch(1, record())])
    async with open_archive(url) as archive:
        await archive.access.append([batch(1, record())])
        assert len(await archive.access.records(Wanted(PROJECT))) == 1
    assert (tmp_path / "logs-access.db").stat().st_mode & 0o777 == 0o600


@pytest.fixture(scope="module")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseEngine]:
    with ClickHouseEngine(tmp_path_factory.mktemp("access")) as engine:
        yield engine


@pytest.mark.matrix
class TestClickHouseAccess(AccessContract):
    @pytest.fixture
    async def access(self, clickhouse: ClickHouseEngine) -> AsyncIterator[AccessArchive]:
        async with ClickHouseArchive(clickhouse.url) as archive:
            yield archive.access
            for table in (ACCESS_RECORDS, ACCESS_TOTALS):
                await archive._client.command(f"TRUNCATE TABLE {table}")

    async def settle(self, access: AccessArchive) -> None:
        assert isinstance(access, ClickHouseAccess)
        for table in (ACCESS_RECORDS, ACCESS_TOTALS):
            await access._client.command(f"OPTIMIZE TABLE {table} FINAL")


async def test_clickhouse_keeps_records_over_a_kill(tmp_path: Path) -> None:
    with ClickHouseEngine(tmp_path) as engine:
        async with ClickHouseArchive(engine.url) as archive:
            await archive.access.append([batch(1, record(), totals())])
            engine.kill()
            with pytest.raises(Unavailable):
                await archive.access.append([batch(2, record(AT + 1), totals(AT + 1))])
            engine.start()
            await archive.access.append([batch(n, record(AT + n - 1), totals(AT + n - 1)) for n in (1, 2)])
            assert len(await archive.access.records(Wanted(PROJECT))) == 2
            assert sum(one.requests for one in await archive.access.sums(Wanted(PROJECT), 1000)) == 2
