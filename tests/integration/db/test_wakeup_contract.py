"""Wakeups across processes: two ports over one PostgreSQL, and what happens while it is away."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy import URL, make_url

from scalemesh.db import Wakeup, open_wakeup
from scalemesh.testing.engines import Postgres

pytestmark = pytest.mark.matrix


@pytest.fixture
async def url(postgres_server: Postgres) -> URL:
    return make_url(await postgres_server.empty())


@pytest.fixture
async def two(url: URL) -> AsyncIterator[tuple[Wakeup, Wakeup]]:
    async with open_wakeup(url) as one, open_wakeup(url) as other:
        with one.listen("up") as first, other.listen("up") as second:  # every listener is woken once it is connected
            assert (await first.wait(20), await second.wait(20)) == (True, True)
        yield one, other


async def test_other_process_hears(two: tuple[Wakeup, Wakeup]) -> None:
    one, other = two
    with other.listen("queue") as queue, other.listen("routes") as routes:
        one.notify("queue")
        assert (await queue.wait(20), await routes.wait(0)) == (True, False)


async def test_own_process_hears_at_once_and_once(two: tuple[Wakeup, Wakeup]) -> None:
    one, other = two
    with one.listen("queue") as own, other.listen("after") as after:
        one.notify("queue")
        assert await own.wait(0)
        one.notify("after")
        assert await after.wait(20)  # so the first has made its round
        assert not await own.wait(0)


async def test_more_topics_than_one_payload_takes(two: tuple[Wakeup, Wakeup]) -> None:
    one, other = two
    with other.listen("deployment:0") as first, other.listen("deployment:1999") as last:
        for n in range(2000):
            one.notify(f"deployment:{n}")
        assert (await first.wait(20), await last.wait(20)) == (True, True)


async def test_connection_that_is_cut_comes_back_and_wakes_everybody(two: tuple[Wakeup, Wakeup], url: URL) -> None:
    one, other = two
    with other.listen("queue") as queue:
        admin = await asyncpg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False))
        await admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
        await admin.close()
        assert await queue.wait(20)
        async with asyncio.timeout(20):
            while not await queue.wait(0.1):  # the other one's connection may still be on its way back
                one.notify("queue")


async def test_stops_while_it_cannot_connect() -> None:
    async with asyncio.timeout(20):
        async with open_wakeup(make_url("postgresql+asyncpg://nobody@127.0.0.1:1/none")) as wakeup:
            wakeup.notify("queue")
            await asyncio.sleep(0)
