"""The same number of no-op jobs through Procrastinate (the same PostgreSQL) and SAQ (Redis), each by its own worker.

They know no teams, so they have nobody to be fair to: the comparison is of the plain cost of a queue.
"""

import asyncio
import contextlib
import logging
import time
from pathlib import Path

import procrastinate
import saq
from sqlalchemy import make_url

from scalemesh.testing.log_engines import RedisEngine

CONCURRENCY = 100
_IDLE_S = 0.1


async def procrastinate_peer(url: str, jobs: int, idle: int) -> tuple[float, list[float]]:
    """Jobs a second, and seconds from deferring to start in an idle worker."""
    logging.getLogger("procrastinate").setLevel(logging.ERROR)
    dsn = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=dsn, max_size=20))
    started: asyncio.Queue[float] = asyncio.Queue()

    async def start() -> None:
        started.put_nowait(time.monotonic())

    work = app.task(start)

    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        await work.batch_defer_async(*({} for _ in range(jobs)))
        began = time.monotonic()
        await app.run_worker_async(wait=False, concurrency=CONCURRENCY, install_signal_handlers=False)
        rate = jobs / (time.monotonic() - began)
        assert started.qsize() == jobs
        while not started.empty():
            started.get_nowait()
        worker = asyncio.create_task(app.run_worker_async(concurrency=CONCURRENCY, install_signal_handlers=False))
        waits = []
        for _ in range(idle):
            await asyncio.sleep(_IDLE_S)
            asked = time.monotonic()
            await work.defer_async()
            waits.append(await started.get() - asked)
        worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await worker
    return rate, waits[1:]  # the first one waits for the worker's own start


async def saq_peer(folder: Path, jobs: int, idle: int) -> tuple[float, list[float]]:
    """As `procrastinate_peer`."""
    started: asyncio.Queue[tuple[int, float]] = asyncio.Queue()

    async def work(_: object, *, number: int) -> None:
        started.put_nowait((number, time.monotonic()))

    with RedisEngine(folder) as server:  # as durable as the others: on disk before it is acknowledged
        queue = saq.Queue.from_url(server.url)
        await queue.connect()
        for _ in range(jobs // 500):
            await asyncio.gather(*(queue.enqueue("work", number=-1) for _ in range(500)))
        worker = saq.Worker(queue, [("work", work)], concurrency=CONCURRENCY)
        began = time.monotonic()
        running = asyncio.create_task(worker.start())
        for _ in range(jobs // 500 * 500):
            _, last = await started.get()
        rate = jobs / (last - began)
        waits = []
        for number in range(idle):
            await asyncio.sleep(_IDLE_S)
            asked = time.monotonic()
            await queue.enqueue("work", number=number)
            while (ran := await started.get())[0] != number:
                continue  # it repeats a job that took long to be acknowledged
            waits.append(ran[1] - asked)
        await worker.stop()
        await asyncio.wait([running], timeout=10)
        await queue.disconnect()
    return rate, waits
