import pytest

from scalemesh.logs.archive.base import Archive
from scalemesh.logs.archive.memory import MemoryArchive
from scalemesh.testing.archive_contract import ArchiveContract


class TestMemoryArchive(ArchiveContract):
    @pytest.fixture
    def archive(self) -> Archive:
        return MemoryArchive()
