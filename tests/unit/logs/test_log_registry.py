import sys

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
    assert refused.value.hint == "Known are clickhouse, memory, sqlite."


def test_an_adapter_without_its_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "scalemesh.logs.bus.kafka", raising=False)
    monkeypatch.setitem(sys.modules, "aiokafka", None)
    with pytest.raises(BadSettings) as refused:
        open_bus("kafka://localhost:9092")
    assert refused.value.hint == "pip install 'scalemesh[kafka]'"


def test_an_unknown_option_of_kafka_lists_the_known_ones() -> None:
    with pytest.raises(BadSettings, match="partition'"):
        open_bus("kafka://localhost:9092/logs?partition=4")
