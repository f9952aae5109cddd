"""The archives of access records on their engines."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scalemesh.logs import open_archive
from scalemesh.logs.access.base import AccessArchive, Wanted
from scalemesh.logs.access.memory import MemoryAccess
from scalemesh.testing.access_contract import PROJECT, AccessContract, batch, record


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
