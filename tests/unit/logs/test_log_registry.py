import pytest

from scalemesh.errors import BadSettings
from scalemesh.logs import open_archive, open_bus
from scalemesh.logs.archive.sqlite import SqliteArchive
from scalemesh.logs.bus.memory import MemoryBus


def test_the_scheme_chooses_the_bus() -> None:
    assert isinstance(open_bus("memory://"), MemoryBus)


def test_the_scheme_chooses_the_archive() -> None:
    assert isinstance(open_archive("sqlite:////nowhere/logs.db"), SqliteArchive)


def test_an_unknown_scheme_lists_the_known_ones() -> None:
    with pytest.raises(BadSettings) as refused:
        open_archive("csv:///logs")
    assert refused.value.hint == "Known are memory, sqlite."
