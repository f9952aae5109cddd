import pytest

from scalemesh.artifacts.store import BlobStore
from scalemesh.errors import BadSettings
from scalemesh.testing.store_contract import TEAM, StoreContract, sha256


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> BlobStore:
        return BlobStore("memory:///")


async def test_an_unknown_scheme_is_a_wrong_setting() -> None:
    with pytest.raises(BadSettings, match="SCALEMESH_STORAGE_URL"):
        await BlobStore("floppy:///a").head(TEAM, sha256(b""))
