"""Access records from a real worker through a real keeper into the API and its archive, whatever breaks in between."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from scalemesh.api import Services, create_app
from scalemesh.logs import LogService
from scalemesh.logs.archive.sqlite import SqliteArchive
from scalemesh.logs.bus.memory import MemoryBus
from scalemesh.testing.factories import open_kit
from tests.integration.edge.harness import DEADLINE_S, Edge, FeedServer, Store

HOST = "blog.localhost"
BIG = os.urandom(400_000)


@dataclass
class Site:
    """A project whose site a real edge serves; `ask` is its owner at the API."""

    edge: Edge
    feed: FeedServer
    http: httpx.AsyncClient
    reports: list[bytes]
    dropped: dict[str, int]

    async def get(self, path: str = "/", **options: Any) -> int:
        return (await asyncio.to_thread(self.edge.get, path, HOST, **options)).status

    async def load(self, count: int) -> None:
        """So many requests over one connection."""

        def ask() -> None:
            with self.edge.connect() as wire:
                for _ in range(count):
                    wire.send(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
                    assert wire.answer().status == 200

        await asyncio.to_thread(ask)

    async def ask(self, path: str, **params: Any) -> Any:
        answer = await self.http.get(f"/v1/projects/blog/access{path}", params=params)
        assert answer.is_success, answer.text
        return answer.json()

    async def counted(self) -> int:
        return int((await self.ask("/summary", step="hour"))["total"]["requests"])

    async def until_counted(self, count: int) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while await self.counted() < count:
                await asyncio.sleep(0.05)
        assert await self.counted() == count

    async def until_dropped(self, count: int) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while sum(self.dropped.values()) < count:
                await asyncio.sleep(0.05)
        assert sum(self.dropped.values()) == count


@pytest.fixture
def environ() -> dict[str, str]:
    return {}


@pytest.fixture
async def site(
    tmp_path: Path, database_url: str, store: Store, feed: FeedServer, environ: dict[str, str]
) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        archive = SqliteArchive(f"sqlite:///{tmp_path}/logs.db")
        logs = await stack.enter_async_context(LogService(MemoryBus(), archive))
        kit = await stack.enter_async_context(open_kit(database_url, logs=logs))
        await kit.deployments.routes.ensure_edge("local", "sme_test")
        owner = await kit.actor("acme")
        project = await kit.project(owner)
        _, secret = await kit.accounts.create_token(owner, "test", "full")
        services = Services(
            db=kit.db,
            accounts=kit.accounts,
            projects=kit.projects,
            deployments=kit.deployments,
            sources=kit.sources,  # type: ignore[arg-type]
            logs=kit.logs,
            url="http://localhost:8000",
            sites_url="http://*.localhost:8080",
            hosts=frozenset({"localhost"}),
        )
        http = await stack.enter_async_context(
            httpx.AsyncClient(
                transport=httpx.ASGITransport(create_app(services)),
                base_url="http://localhost:8000",
                headers={"Authorization": f"Bearer {secret}"},
            )
        )
        reports: list[bytes] = []

        async def report(body: bytes) -> int:
            reports.append(body)
            headers = {"Authorization": "Bearer sme_test"}
            return (await http.post("/v1/edge/access", content=body, headers=headers)).status_code

        feed.on_access = report
        feed.project = project.id
        edge = Edge(tmp_path / "data", store, feed.port, environ=environ)
        stack.push_async_callback(asyncio.to_thread, edge.clean)
        await asyncio.to_thread(edge.start)
        manifest = store.manifest({"/index.html": b"hello", "/big.bin": BIG})
        await feed.until_acknowledged(await feed.publish(HOST, manifest))
        yield Site(edge, feed, http, reports, services.metrics.access_dropped)


async def test_records_and_totals_arrive(site: Site) -> None:
    assert await site.get("/?secret=1") == 200
    assert await site.get("/nothing") == 404
    assert await site.get("/big.bin") == 200
    assert await site.get("/", method="HEAD") == 200
    await site.until_counted(4)
    items = (await site.ask(""))["items"]
    found = {(item["method"], item["path"]): item for item in items}
    assert {key: (item["status"], item["bytes"]) for key, item in found.items()} == {
        ("GET", "/"): (200, 5),
        ("GET", "/nothing"): (404, found["GET", "/nothing"]["bytes"]),
        ("GET", "/big.bin"): (200, len(BIG)),
        ("HEAD", "/"): (200, 0),
    }
    assert {(item["host"], item["client"], item["rate"]) for item in items} == {(HOST, "127.0.0.0/24", 1.0)}
    assert found["GET", "/big.bin"]["cache"] == "miss"
    assert found["HEAD", "/"]["cache"] == "hit"
    assert b"secret" not in b"".join(site.reports)


async def test_the_api_away_and_back_loses_nothing_and_repeats_nothing(site: Site) -> None:
    await site.get()
    await site.until_counted(1)
    await site.feed.stop()
    await site.load(300)
    await site.feed.start()
    await site.until_counted(301)


async def test_a_report_without_an_answer_counts_once(site: Site) -> None:
    taken = site.feed.on_access
    failures = iter([0, 500, 0])

    async def take_and_break_off(body: bytes) -> int:
        status = await taken(body)
        return next(failures, status)

    site.feed.on_access = take_and_break_off
    await site.load(50)
    async with asyncio.timeout(DEADLINE_S):
        while len(site.reports) < 4:
            await asyncio.sleep(0.05)
    await site.load(1)
    await site.until_counted(51)


async def test_a_killed_keeper_loses_nothing_and_repeats_nothing(site: Site) -> None:
    await site.load(40)
    site.edge.stop(signal.SIGKILL)  # the worker serves on, and holds what no keeper has confirmed
    await site.load(60)
    await asyncio.to_thread(site.edge.start)
    await site.load(20)
    answered = 120
    await site.until_counted(answered)


async def test_a_worker_that_is_sent_away_tells_what_it_has(site: Site) -> None:
    await site.load(30)
    assert await asyncio.to_thread(site.edge.stop) == 0
    await asyncio.to_thread(site.edge.start)
    await site.until_counted(30)


async def test_a_batch_that_the_api_refuses_is_dropped_and_counted(site: Site) -> None:
    taken = site.feed.on_access

    async def refuse(body: bytes) -> int:
        return await taken(body) if body.startswith(b'{"batches":[]') else 422

    site.feed.on_access = refuse
    await site.load(7)
    await site.until_dropped(7)
    site.feed.on_access = taken
    await site.load(2)
    await site.until_counted(2)


class TestCap:
    @pytest.fixture
    def environ(self) -> dict[str, str]:
        return {"SCALEMESH_EDGE_ACCESS_RECORDS": "5"}

    async def test_totals_are_complete_and_records_say_what_share_they_are(self, site: Site) -> None:
        await site.load(400)
        await site.until_counted(400)
        items = (await site.ask(""))["items"]
        assert len(items) < 400
        assert sum(1 / item["rate"] for item in items) == pytest.approx(400)


class TestBound:
    @pytest.fixture
    def environ(self) -> dict[str, str]:
        return {"SCALEMESH_EDGE_ACCESS_SPOOL": "100"}

    async def test_what_the_spool_has_no_room_for_is_counted(self, site: Site) -> None:
        await site.load(25)
        await site.until_dropped(25)
        assert await site.counted() == 0
