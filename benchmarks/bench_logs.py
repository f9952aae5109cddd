"""Log lines accepted and archived per second; line → WebSocket client; beside the naive designs that peers use."""

import asyncio
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop
from redis.asyncio import Redis

from benchmarks.log_clients import Reader, emit
from benchmarks.report import report
from scalemesh.buildserver.shipper import BATCH_INTERVAL_S
from scalemesh.core.logs import LogLine
from scalemesh.logs import LogService, open_archive, open_bus
from scalemesh.testing.log_engines import ClickHouseEngine, KafkaEngine, RedisEngine

LINES = 100_000
BATCH = 200
WRITERS = 50
RATE = 100
SECONDS = 10
WARM_S = 2
TEXT = "GET /assets/index-4f2a91c3.js 200 in 12 ms (1,204 bytes, cached)"
TARGET_MS = 100


async def throughput(bus: str, archive: str) -> dict[str, int]:
    """Lines per second: acknowledged to their writers, and readable in the archive."""
    async with LogService(open_bus(bus), open_archive(archive)) as logs:
        await logs.publish(_lines("dpl_first", 1, 0, [TEXT]))
        await _archived(logs, "dpl_first", 0)  # a consumer group takes seconds to form
        began = time.perf_counter()
        await asyncio.gather(*(_write(logs, f"dpl_{number}") for number in range(WRITERS)))
        accepted = time.perf_counter() - began
        for number in range(WRITERS):
            await _archived(logs, f"dpl_{number}", LINES // WRITERS - 1)
        archived = time.perf_counter() - began
    return {"accepted_per_s": round(LINES / accepted), "archived_per_s": round(LINES / archived)}


async def _archived(logs: LogService, deployment: str, seq: int) -> None:
    async with asyncio.timeout(120):
        while not await logs.read(deployment, seq - 1, 1):
            await asyncio.sleep(0.005)


async def _write(logs: LogService, deployment: str) -> None:
    for first in range(0, LINES // WRITERS, BATCH):
        await logs.publish(_lines(deployment, 1, first, [TEXT] * BATCH))


def _lines(deployment: str, attempt: int, first: int, texts: Sequence[str]) -> list[LogLine]:
    return [
        LogLine(deployment=deployment, attempt=attempt, seq=seq, ts=0, text=text)
        for seq, text in enumerate(texts, start=first)
    ]


async def latency(folder: Path, bus: str) -> dict[str, float]:
    """From the moment that a build writes a line to the moment that a WebSocket client has it."""
    async with _api(folder, bus) as api, asyncio.TaskGroup() as tasks:
        began = time.perf_counter()
        readers = [Reader(api, agent, began + WARM_S) for agent in api["agents"]]
        reading = [tasks.create_task(reader.read(began + SECONDS)) for reader in readers]
        for number, agent in enumerate(api["agents"]):
            offset_s = BATCH_INTERVAL_S * number / WRITERS
            tasks.create_task(emit(api, agent, began + SECONDS - 1, rate=RATE, offset_s=offset_s))
    took = sorted(each for task in reading for each in task.result())
    return {
        "lines": len(took),
        "p50_ms": round(1000 * statistics.median(took), 1),
        "p99_ms": round(1000 * took[len(took) * 99 // 100], 1),
    }


@asynccontextmanager
async def _api(folder: Path, bus: str) -> AsyncIterator[Any]:
    argv = [sys.executable, "-m", "benchmarks.log_api", str(folder), bus, f"sqlite:///{folder}/logs.db", str(WRITERS)]
    process = await asyncio.create_subprocess_exec(*argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout
    try:
        yield json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
    finally:
        process.kill()
        await process.wait()


def json_column(folder: Path, count: int = 3000) -> dict[str, int]:
    """A naive design: the whole log in one JSON column, rewritten for every line."""
    db = sqlite3.connect(folder / "naive.db", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("CREATE TABLE deployments (id INTEGER PRIMARY KEY, logs TEXT NOT NULL)")
    db.execute("INSERT INTO deployments VALUES (1, '[]')")
    began = time.perf_counter()
    for seq in range(count):
        (logs,) = db.execute("SELECT logs FROM deployments WHERE id = 1").fetchone()
        grown = json.dumps([*json.loads(logs), {"seq": seq, "text": TEXT}])
        db.execute("UPDATE deployments SET logs = ? WHERE id = 1", (grown,))
    db.close()
    return {"lines": count, "accepted_per_s": round(count / (time.perf_counter() - began))}


async def pubsub(url: str, count: int = 2000) -> dict[str, int]:
    """Another one: Redis pub/sub alone; its reader is away for a quarter of the lines."""
    seen = 0
    async with Redis.from_url(url) as redis:

        async def hear(last: int) -> None:
            nonlocal seen
            async with redis.pubsub(ignore_subscribe_messages=True) as heard:
                await heard.subscribe("logs")
                subscribed.set()
                while True:
                    message = await heard.get_message(timeout=5)
                    if message is not None:
                        seen += 1
                        if int(message["data"]) == last:
                            return

        for first, last in ((0, count // 2), (count * 3 // 4, count)):
            subscribed = asyncio.Event()
            hearing = asyncio.create_task(hear(last - 1))
            await asyncio.wait_for(subscribed.wait(), 5)
            await asyncio.sleep(0.1)
            for seq in range(first, last):
                await redis.publish("logs", str(seq))
            await asyncio.wait_for(hearing, 10)
            for seq in range(last, min(last + count // 4, count)):
                await redis.publish("logs", str(seq))
    return {"lines": count, "lost": count - seen}


async def main() -> None:
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with RedisEngine(folder) as redis, KafkaEngine(folder) as kafka, ClickHouseEngine(folder) as clickhouse:
            for bus, url in (("memory", "memory://"), ("redis", redis.url), ("kafka", kafka.url)):
                results[f"{bus}+sqlite"] = await throughput(url, f"sqlite:///{folder}/{bus}.db")
                print(f"{bus}+sqlite", results[f"{bus}+sqlite"], flush=True)
            results["kafka+clickhouse"] = await throughput(kafka.topic_url("columns"), clickhouse.url)
            print("kafka+clickhouse", results["kafka+clickhouse"], flush=True)
            own = redis.url.removesuffix("/0") + "/1"
            for bus, url in (("memory", "memory://"), ("redis", own), ("kafka", kafka.topic_url("live"))):
                (folder / f"live-{bus}").mkdir()
                results[f"live_{bus}"] = await latency(folder / f"live-{bus}", url)
                print("live", bus, results[f"live_{bus}"], flush=True)
            results["naive_json_column"] = json_column(folder)
            results["naive_pubsub"] = await pubsub(redis.url)
    p99 = {f"p99_ms_{bus}": results[f"live_{bus}"]["p99_ms"] for bus in ("memory", "redis", "kafka")}
    report("logs", results, p99, dict.fromkeys(p99, TARGET_MS))


if __name__ == "__main__":
    uvloop.run(main())
