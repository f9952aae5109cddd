"""The queue with a no-op backend: claims a second, fairness and enqueue → claim, on SQLite and PostgreSQL.

10,000 deployments of 200 teams wait, half of them of 20 teams. Several dispatchers claim as fast as they can, each
batch ends at once. Beside it Procrastinate and SAQ work off as many jobs that do nothing.

Between enqueueing and a launch lie two commits, each on the disk: so the disk is measured beside every wait.
"""

import asyncio
import gc
import logging
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import structlog
from sqlalchemy import insert, update

from benchmarks.queue_peers import procrastinate_peer, saq_peer
from benchmarks.report import report
from scalemesh.core.clock import now_ms
from scalemesh.core.ids import new_id
from scalemesh.core.state import State
from scalemesh.db import Database, open_wakeup
from scalemesh.db.tables import Attempt, Deployment, Project, Target, Team
from scalemesh.deployments import BuildPolicy, Claimed, ClaimLimits, Queue
from scalemesh.dispatch.backends.base import Launch
from scalemesh.dispatch.backends.memory import MemoryBackend
from scalemesh.dispatch.dispatcher import BATCH, Dispatcher, DispatchSettings
from scalemesh.logs.archive.memory import MemoryArchive
from scalemesh.logs.bus.memory import MemoryBus
from scalemesh.logs.service import LogService
from scalemesh.testing.engines import Sqlite, migrate, postgres

DEPLOYMENTS, TEAMS, BUSY_TEAMS = 10_000, 200, 20
CONTENDED = 4000  # so many claims, and every team still waits: each should have the same number
DISPATCHERS = 4
IDLE = 200
IDLE_S = 0.1
TARGETS = {"postgres_claim_ms": 2.0, "sqlite_claim_ms": 5.0, "postgres_p99_ms": 50.0, "sqlite_p99_ms": 50.0}
TARGET_JAIN = 0.95


def main() -> None:
    logging.disable(logging.WARNING)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    asyncio.run(_main())


async def _main() -> None:
    results: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name, postgres() as server:
        folder = Path(name)
        sqlite = Sqlite(folder)
        urls = {"sqlite": (await sqlite.fresh(), await sqlite.fresh())}
        fresh = await server.empty(), await server.empty()
        for url in fresh:
            await migrate(url)  # not `fresh`, which switches fsync off
        urls["postgres"] = fresh
        for engine, (busy, idle) in urls.items():
            waits, disk = await _idle(idle, folder)  # first: a server that has just worked is not an idle one
            results |= _waits(engine, waits) | _waits(f"{engine}_disk", disk)
            rate, jain = await _claims(busy)
            results |= {f"{engine}_claims_per_s": rate, f"{engine}_claim_ms": 1000 / rate, f"{engine}_jain": jain}
            print({name: round(value, 3) for name, value in results.items() if name.startswith(engine)}, flush=True)
        peers = {
            "procrastinate": await procrastinate_peer(await server.empty(), DEPLOYMENTS, IDLE),
            "saq": await saq_peer(folder, DEPLOYMENTS, IDLE),
        }
        for peer, (rate, waits) in peers.items():
            results |= {f"{peer}_jobs_per_s": rate} | _waits(peer, waits)
    results |= {f"{engine}_unfair": 1 - results[f"{engine}_jain"] for engine in urls}
    ratios = {
        f"postgres_over_{peer}": round(results["postgres_claims_per_s"] / results[f"{peer}_jobs_per_s"], 2)
        for peer in peers
    }
    targets = TARGETS | {f"{engine}_unfair": 1 - TARGET_JAIN for engine in urls}
    report("queue", {name: round(value, 4) for name, value in results.items()}, ratios, targets)


async def _claims(url: str) -> tuple[float, float]:
    """Claims a second until the queue is empty, and Jain's index over teams while all of them wait."""
    async with AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(Database(url)) for _ in range(DISPATCHERS)]
        if opened[0].is_sqlite:
            opened = opened[:1] * DISPATCHERS  # one process, as `up` is
        logs = await stack.enter_async_context(LogService(MemoryBus(), MemoryArchive()))
        await _fill(opened[0])
        taken: list[Claimed] = []
        parts = []
        for number, db in enumerate(opened):
            wakeup = await stack.enter_async_context(open_wakeup(db.url))
            parts.append(_dispatch(db, Queue(db, logs, wakeup, BuildPolicy(), now_ms), f"d{number}", taken))
        began = time.monotonic()
        await asyncio.gather(*parts)
        took_s = time.monotonic() - began
    assert len({claimed.deployment for claimed in taken}) == len(taken) == DEPLOYMENTS
    shares = Counter(claimed.team for claimed in taken[:CONTENDED])
    return DEPLOYMENTS / took_s, sum(shares.values()) ** 2 / (TEAMS * sum(n * n for n in shares.values()))


async def _dispatch(db: Database, queue: Queue, name: str, taken: list[Claimed]) -> None:
    while claimed := await queue.claim(name, "noop", ClaimLimits(dispatcher=BATCH), BATCH):
        taken += claimed
        ids = [each.attempt for each in claimed]
        async with db.write() as session:
            gone = {"ended_at": now_ms(), "cleaned_at": now_ms(), "outcome": "ready"}
            await session.execute(update(Attempt).where(Attempt.id.in_(ids)).values(**gone))
            deployments = Deployment.id.in_([each.deployment for each in claimed])
            await session.execute(update(Deployment).where(deployments).values(state=State.READY))


async def _fill(db: Database, deployments: int = DEPLOYMENTS) -> None:
    teams = [f"team_{number:03}" for number in range(TEAMS)]
    plain = deployments // 2 // (TEAMS - BUSY_TEAMS)
    counts = [deployments // 2 // BUSY_TEAMS] * BUSY_TEAMS + [plain] * (TEAMS - BUSY_TEAMS)
    counts[0] += deployments - sum(counts)
    now = now_ms()
    async with db.write() as session:
        facts = {"name": "bench", "created_at": now}
        await session.execute(insert(Team), [{"id": team, "slug": team, **facts} for team in teams])
        projects = [{"id": f"prj_{team}", "team_id": team, "updated_at": now, **facts} for team in teams]
        await session.execute(insert(Project), projects)
        of_team = [team for team, count in zip(teams, counts, strict=True) for _ in range(count)]
        if of_team:
            await session.execute(insert(Deployment), [_row(team, now) for team in of_team])


def _row(team: str, now: int) -> dict[str, object]:
    identifier = new_id("dpl")
    return {
        "id": identifier,
        "team_id": team,
        "project_id": f"prj_{team}",
        "host_label": identifier.replace("_", "-"),
        "state": State.QUEUED,
        "target": Target.PREVIEW,
        "trigger": "manual",
        "source": "{}",
        "settings": "{}",
        "created_at": now,
    }


async def _idle(url: str, folder: Path) -> tuple[Sequence[float], Sequence[float]]:
    """Seconds from putting a deployment into the queue to its launch, and of one fsync in `folder` after each.

    The dispatcher has connections of its own. The first launch is its warm-up, as the peers' first jobs are.
    """
    started: asyncio.Queue[float] = asyncio.Queue()

    async def work(launch: Launch) -> None:
        started.put_nowait(time.monotonic())
        await queue.fail(launch.attempt, "noop", "Nothing was to be done.")

    async with AsyncExitStack() as stack:
        db = await stack.enter_async_context(Database(url))
        told, heard = [await stack.enter_async_context(open_wakeup(db.url)) for _ in range(2)]
        told, mine = (heard, db) if db.is_sqlite else (told, await stack.enter_async_context(Database(url)))
        logs = await stack.enter_async_context(LogService(MemoryBus(), MemoryArchive()))
        backend = await stack.enter_async_context(MemoryBackend(work))
        queue = Queue(db, logs, heard, BuildPolicy(), now_ms)
        dispatcher = Dispatcher(queue, backend, heard, DispatchSettings("bench", concurrency=0))
        running = asyncio.create_task(dispatcher.run())
        await _fill(mine, deployments=0)
        gc.freeze()  # as the platform's processes do (main.process): a full collection takes 80 ms
        waits, disk = [], []
        for _ in range(IDLE + 1):
            await asyncio.sleep(IDLE_S)
            asked = time.monotonic()
            async with mine.write() as session:
                await session.execute(insert(Deployment), [_row("team_000", now_ms())])
            told.notify("queue")
            waits.append(await started.get() - asked)
            disk.append(await asyncio.to_thread(_fsync_s, folder / "fsync"))
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return waits[1:], disk[1:]


def _fsync_s(path: Path) -> float:
    with path.open("ab") as file:
        file.write(bytes(4096))
        file.flush()
        began = time.monotonic()
        os.fsync(file.fileno())
        return time.monotonic() - began


def _waits(name: str, waits: Sequence[float]) -> dict[str, float]:
    return {
        f"{name}_p50_ms": statistics.median(waits) * 1000,
        f"{name}_p99_ms": sorted(waits)[len(waits) * 99 // 100] * 1000,
    }


if __name__ == "__main__":
    main()
