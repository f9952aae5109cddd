"""The bus contract over real brokers, and what is their own: kills, restarts, pumps that die, batches set aside."""

from collections.abc import AsyncIterator, Iterator
from itertools import count

import pytest

from scalemesh.logs.archive.memory import MemoryArchive
from scalemesh.logs.bus.base import Bus
from scalemesh.logs.bus.kafka import KafkaBus
from scalemesh.logs.bus.redis import RedisBus
from scalemesh.testing.bus_contract import BusContract, archived, pumping, received
from scalemesh.testing.log_engines import KafkaEngine, RedisEngine
from scalemesh.testing.log_lines import DEPLOYMENT, lines

_topics = count()


@pytest.fixture(scope="module")
def redis_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisEngine]:
    with RedisEngine(tmp_path_factory.mktemp("redis")) as engine:
        yield engine


@pytest.fixture(scope="module")
def kafka_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaEngine]:
    with KafkaEngine(tmp_path_factory.mktemp("kafka")) as engine:
        yield engine


@pytest.fixture
async def redis_bus(redis_engine: RedisEngine) -> AsyncIterator[RedisBus]:
    async with RedisBus(redis_engine.url) as bus:
        await bus._redis.flushall()
        await bus._make_group()
        yield bus


@pytest.fixture
async def kafka_bus(kafka_engine: KafkaEngine) -> AsyncIterator[KafkaBus]:
    async with KafkaBus(kafka_engine.topic_url(f"logs-{next(_topics)}")) as bus:
        yield bus


@pytest.mark.matrix
class TestRedisBus(BusContract):
    @pytest.fixture
    def bus(self, redis_bus: RedisBus) -> Bus:
        return redis_bus


@pytest.mark.matrix
class TestKafkaBus(BusContract):
    @pytest.fixture
    def bus(self, kafka_bus: KafkaBus) -> Bus:
        return kafka_bus


async def test_lines_go_through_redis(redis_bus: RedisBus) -> None:
    await _lines_go_live_and_to_the_archive(redis_bus)


async def test_lines_go_through_kafka(kafka_bus: KafkaBus) -> None:
    await _lines_go_live_and_to_the_archive(kafka_bus)


async def _lines_go_live_and_to_the_archive(bus: Bus) -> None:
    archive = MemoryArchive()
    async with pumping(bus, archive), bus.subscribe(DEPLOYMENT) as live:
        await bus.publish(lines(*range(50)))
        await bus.publish(lines(50))
        assert await received(live, 50) == list(range(51))
        assert await archived(archive, 51) == list(range(51))
