"""The bus contract over real brokers, and what is their own: kills, restarts, pumps that die, batches set aside."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import pytest
import structlog

from scalemesh.core.documents import encode
from scalemesh.errors import BadSettings, Unavailable
from scalemesh.logs import tail
from scalemesh.logs.archive.memory import MemoryArchive
from scalemesh.logs.bus import redis
from scalemesh.logs.bus.base import Bus
from scalemesh.logs.bus.kafka import KafkaBus
from scalemesh.logs.bus.redis import RedisBus
from scalemesh.testing.bus_contract import WAIT_S, BusContract, archived, pumping, received
from scalemesh.testing.log_engines import BrokerEngine, KafkaEngine, RedisEngine
from scalemesh.testing.log_lines import DEPLOYMENT, lines, numbers
from scalemesh.testing.s3 import s3_server

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
@pytest.mark.timeout(400)  # the broker takes seconds to let a consumer in
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


async def test_redis_killed_and_started_again_loses_and_repeats_nothing(tmp_path: Path) -> None:
    with RedisEngine(tmp_path) as engine:
        async with RedisBus(engine.url) as bus:
            await _survives_a_kill(bus, engine)


@pytest.mark.matrix
async def test_kafka_killed_and_started_again_loses_and_repeats_nothing(tmp_path: Path) -> None:
    with s3_server(tmp_path) as s3:
        env = s3.env() | {"AWS_ENDPOINT": s3.url, "AWS_ALLOW_HTTP": "true", "AWS_DEFAULT_REGION": "us-east-1"}
        with KafkaEngine(tmp_path, "s3://logs/", env) as engine:
            async with KafkaBus(engine.url) as bus:
                await _survives_a_kill(bus, engine)


async def _survives_a_kill(bus: Bus, engine: BrokerEngine, batches: int = 100) -> None:
    """A writer, a pump and a reader while the broker is killed in the middle."""
    archive, last = MemoryArchive(), batches * 10

    async def write() -> None:
        for first in range(0, last, 10):
            await bus.publish(lines(*range(first, first + 10)))
            if first == last // 2:
                await asyncio.to_thread(engine.kill)
                await asyncio.to_thread(engine.start)

    async def end() -> int:
        return last

    async def read() -> list[int]:
        return numbers([line async for line in tail(archive, bus, DEPLOYMENT, end=end, gap_s=WAIT_S)])

    async with asyncio.timeout(90), pumping(bus, archive):
        seen, _ = await asyncio.gather(read(), write())
        kept = await archived(archive, last)  # what the broker had handed out when it died comes again a little later
    assert seen == kept == list(range(last))


async def test_records_of_a_dead_pump_are_taken_by_another(redis_engine: RedisEngine, redis_bus: RedisBus) -> None:
    async with RedisBus(redis_engine.url) as dead:
        await dead.publish(lines(0, 1))
        (taken,) = await dead.take(10)
    async with RedisBus(redis_engine.url, reclaim_s=0.5) as heir:
        (again,) = await asyncio.wait_for(heir.take(10), WAIT_S)
    assert again.lines == taken.lines


async def test_a_pump_whose_archive_is_slow_says_that_it_lives(redis_engine: RedisEngine, redis_bus: RedisBus) -> None:
    async def idle_ms() -> int:
        (pending,) = await redis_bus._redis.xpending_range(redis.STREAM, redis.GROUP, "-", "+", 10)
        return int(pending["time_since_delivered"])

    async with RedisBus(redis_engine.url, reclaim_s=0.3) as slow:
        await slow.publish(lines(0))
        await slow.take(10)
        before = 0
        async with asyncio.timeout(WAIT_S):
            while (now := await idle_ms()) >= before:  # it only grows until somebody claims the record again
                before = now
                await asyncio.sleep(0.005)


async def test_a_publisher_hears_of_a_broker_that_stays_away(tmp_path: Path) -> None:
    with RedisEngine(tmp_path) as engine:
        async with RedisBus(engine.url) as bus:
            engine.kill()
            bus._timeout_s = 0.2
            with pytest.raises(Unavailable, match="does not answer"):
                await bus.publish(lines(0))


async def test_publishers_are_held_back_while_no_pump_runs(redis_engine: RedisEngine, redis_bus: RedisBus) -> None:
    async with RedisBus(redis_engine.url, max_records=2, timeout_s=0.3) as bus:
        await bus.publish(lines(0))
        await bus.publish(lines(1))
        with pytest.raises(Unavailable, match="wait for a log pump"):
            await bus.publish(lines(2))


async def test_redis_without_an_append_only_file_is_refused(tmp_path: Path) -> None:
    with RedisEngine(tmp_path, appendonly="no") as engine, pytest.raises(BadSettings) as refused:
        await RedisBus(engine.url).__aenter__()
    assert "appendonly yes" in str(refused.value.hint)


async def test_redis_is_trimmed_only_below_what_pumps_have_committed(
    redis_bus: RedisBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis, "KEPT_FOR_READERS_MS", 0)
    for seq in range(1000):
        await redis_bus._redis.xadd(redis.STREAM, {"deployment": DEPLOYMENT, "lines": encode(lines(seq))})
    first = await redis_bus.take(100)
    rest = [delivery for _ in range(9) for delivery in await redis_bus.take(100)]
    await redis_bus.commit(rest)
    assert await redis_bus._redis.xlen(redis.STREAM) == 1000
    await redis_bus.commit(first)
    await redis_bus._trim()
    assert await redis_bus._redis.xlen(redis.STREAM) <= 200


async def test_what_is_no_log_line_is_set_aside_and_the_others_pass(redis_bus: RedisBus) -> None:
    archive = MemoryArchive()
    await redis_bus._redis.xadd(redis.STREAM, {"deployment": DEPLOYMENT, "lines": b"nonsense"})
    with structlog.testing.capture_logs():
        async with pumping(redis_bus, archive):
            await redis_bus.publish(lines(0))
            assert await archived(archive, 1) == [0]
    assert [each.data for each in await redis_bus.list_set_aside()] == [b"nonsense"]
    assert await redis_bus.count_set_aside() == 1
