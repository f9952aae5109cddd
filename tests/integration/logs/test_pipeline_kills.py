"""Broker, pump and archive are killed in turn while a build writes and readers come: nothing lost, nothing twice."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Protocol

import pytest

from scalemesh.accounts import Actor
from scalemesh.errors import Unavailable
from scalemesh.logs import LogService, open_archive, open_bus
from scalemesh.logs.archive.base import Archive
from scalemesh.testing.engines import Sqlite
from scalemesh.testing.factories import Agent, Kit, open_kit
from scalemesh.testing.log_engines import BrokerEngine, ClickHouseEngine, KafkaEngine, RedisEngine
from scalemesh.testing.s3 import s3_server

ROUNDS = 3
BATCH_LINES = 10
CAUGHT_UP_S = 120  # Kafka waits 10 s for a consumer that has died

pytestmark = [pytest.mark.matrix, pytest.mark.timeout(400)]


class Part(Protocol):
    def start(self) -> None: ...

    def kill(self) -> None: ...


class PumpProcess:
    """`scalemesh serve pump`."""

    def __init__(self, folder: Path, bus_url: str, archive_url: str) -> None:
        self._command = [str(Path(sys.executable).with_name("scalemesh")), "serve", "pump", "--data-dir", str(folder)]
        self._urls = {"SCALEMESH_LOG_BUS_URL": bus_url, "SCALEMESH_LOG_ARCHIVE_URL": archive_url}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, env=os.environ | self._urls)

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait(10)


class Pipeline:
    """A build that writes through the ingest; `acknowledged` lines are everybody's to keep."""

    def __init__(self, kit: Kit, archive: Archive, actor: Actor, agent: Agent) -> None:
        self._kit = kit
        self._archive = archive
        self._actor = actor
        self._agent = agent
        self._deployment = agent.build.deployment
        self.stopping = False

    @property
    def acknowledged(self) -> int:
        return self._agent.next_seq

    async def write(self) -> None:
        """Until `stopping`; each batch again until it is acknowledged, as an agent does."""
        asked = 0
        while not self.stopping or self.acknowledged < asked:
            asked = self.acknowledged + BATCH_LINES
            texts = [f"line {self.acknowledged + number}" for number in range(BATCH_LINES)]
            with suppress(Unavailable):
                await self._agent.log(*texts)
            await asyncio.sleep(0.02)

    async def read(self) -> list[int]:
        """The numbers that one reader sees until the end of the log, over as many connections as it takes."""
        seen: list[int] = []
        while True:
            follow = self._kit.deployments.log.follow(self._actor, self._deployment, seen[-1] if seen else -1)
            try:
                async with aclosing(await follow) as lines:
                    async for line in lines:
                        seen.append(line.seq)  # noqa: PERF401  all until it breaks
            except Unavailable:
                await asyncio.sleep(0.1)
            else:
                return seen

    async def caught_up(self) -> None:
        """Something that is acknowledged from now on has reached the archive."""
        after = self.acknowledged - 1
        async with asyncio.timeout(CAUGHT_UP_S):
            while not await self._held(after):
                await asyncio.sleep(0.05)

    async def _held(self, after: int) -> bool:
        with suppress(Unavailable):
            return bool(await self._archive.read(self._deployment, after, limit=1))
        return False

    async def archived(self, count: int) -> list[tuple[int, str]]:
        """What lies in the archive as it gives it, once that are `count` lines."""
        async with asyncio.timeout(CAUGHT_UP_S):
            while len(found := await self._archive.read(self._deployment, limit=1_000_000)) < count:
                await asyncio.sleep(0.05)
        return [(line.seq, line.text) for line in found]

    async def end(self) -> None:
        await self._agent.fail()


@pytest.fixture(params=["redis", "kafka"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BrokerEngine]:
    with ExitStack() as stack:
        if request.param == "redis":
            yield stack.enter_context(RedisEngine(tmp_path))
        else:
            s3 = stack.enter_context(s3_server(tmp_path))
            env = s3.env() | {"AWS_ENDPOINT": s3.url, "AWS_ALLOW_HTTP": "true", "AWS_DEFAULT_REGION": "us-east-1"}
            yield stack.enter_context(KafkaEngine(tmp_path, "s3://logs/", env))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ClickHouseEngine]:
    with ClickHouseEngine(tmp_path) as engine:
        yield engine


@pytest.fixture
def pump(tmp_path: Path, broker: BrokerEngine, store: ClickHouseEngine) -> Iterator[PumpProcess]:
    pump = PumpProcess(tmp_path / "pump", broker.url, store.url)
    pump.start()
    yield pump
    pump.kill()


@asynccontextmanager
async def open_pipeline(bus_url: str, archive_url: str, database_url: str) -> AsyncIterator[Pipeline]:
    async with AsyncExitStack() as stack:
        archive = open_archive(archive_url)
        logs = await stack.enter_async_context(LogService(open_bus(bus_url), archive, pump=False))
        kit = await stack.enter_async_context(open_kit(database_url, logs=logs))
        actor = await kit.actor()
        await kit.project(actor)
        await kit.queued(actor)
        yield Pipeline(kit, archive, actor, await kit.launched())


async def test_every_part_is_killed_again_and_again(
    broker: BrokerEngine, store: ClickHouseEngine, pump: PumpProcess, sqlite_files: Sqlite
) -> None:
    parts: list[Part] = [broker, pump, store]
    async with open_pipeline(broker.url, store.url, await sqlite_files.fresh()) as pipeline:
        writing = asyncio.create_task(pipeline.write())
        readers = []
        for part in parts * ROUNDS:
            await pipeline.caught_up()
            readers.append(asyncio.create_task(pipeline.read()))
            await asyncio.to_thread(part.kill)
            await asyncio.to_thread(part.start)
        await pipeline.caught_up()
        pipeline.stopping = True
        await asyncio.wait_for(writing, CAUGHT_UP_S)
        await pipeline.end()
        seen = await asyncio.wait_for(asyncio.gather(*readers), CAUGHT_UP_S)
        everything = list(range(pipeline.acknowledged + 1))  # the last line is the control plane's
        archived = await pipeline.archived(len(everything))
    assert [seq for seq, _ in archived] == everything
    assert all(numbers == everything for numbers in seen)
    written = [(seq, text) for seq, text in archived if text.startswith("line ")]
    assert len(written) > len(parts) * ROUNDS * BATCH_LINES
    assert written == [(seq, f"line {seq}") for seq, _ in written]
