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


@pytest.mark.parametrize(
    "url",
    [
        "redis://",
        "redis://:hunter2@localhost/logs",
        "redis://:hunter2@localhost:99999/0",
        "redis://:hunter2@localhost/0?socket_timeot=3",
        "redis://:hunter2/2@localhost/0",
        "kafka://:hunter2@/logs",
        "kafka://u:hunter2@localhost:port/logs",
        "kafka://localhost:9092/logs?partitions=many",
        "kafka://localhost:9092/logs?partitions=0",
        "kafka://localhost:9092/logs?enable_idempotence=perhaps",
        "kafka://localhost:9092/logs?security_protocol=TLS",
        "kafka://localhost:9092/logs?sasl_mechanism=",
    ],
)
def test_a_wrong_bus_address_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(BadSettings) as refused:
        open_bus(url)
    assert refused.value.field == "SCALEMESH_LOG_BUS_URL"
    assert "hunter2" not in f"{refused.value} {refused.value.hint}"


@pytest.mark.parametrize(
    "url",
    [
        "clickhouse://",
        "clickhouse://u:hunter2@localhost:port/logs",
        "clickhouse://u:hunter2/2@localhost/logs",
        "clickhouse://u:hunter2@localhost/logs?retention_day=3",
        "clickhouse://u:hunter2@localhost/logs?retention_days=few",
    ],
)
def test_a_wrong_archive_address_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(BadSettings) as refused:
        open_archive(url)
    assert refused.value.field == "SCALEMESH_LOG_ARCHIVE_URL"
    assert "hunter2" not in f"{refused.value} {refused.value.hint}"
