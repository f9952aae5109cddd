"""Caches between builds that share no disk: agents' archives, through the real API, in every kind of store."""

import asyncio
import contextlib
import itertools
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
import uvicorn

from scalemesh.api import Services, create_app
from scalemesh.buildserver.archives import Archives
from scalemesh.buildserver.control.http import HttpControl
from scalemesh.core.build import Limits
from scalemesh.sources import Sources
from scalemesh.testing.factories import Agent, Kit, open_kit
from scalemesh.testing.s3 import S3Server, s3_server

BUCKET = "caches"
MODULES, CACHE = "workspace/node_modules", "workspace/node_modules/.cache"
BIG = bytes(range(256)) * 4096  # past what travels in one bundle, so that S3 takes it at a signed address
_numbers = itertools.count()


@dataclass
class Platform:
    kit: Kit
    url: str
    folder: Path

    @asynccontextmanager
    async def build(
        self, target: str = "production", *, readable: bool = True, **limits: int
    ) -> AsyncIterator["OneBuild"]:
        """It becomes ready at the end."""
        actor = await self.kit.actor()
        await self.kit.queued(actor, target=target)
        self.kit.clock.advance(seconds=2)
        agent = await self.kit.launched()
        directory = self.folder / agent.build.attempt
        (directory / "workspace").mkdir(parents=True)
        async with HttpControl(self.url, agent.build.attempt, agent.claimed.token) as control:
            archives = Archives(control, directory, Limits(**limits), readable=readable)
            yield OneBuild(agent, directory, archives)
            await agent.publish({"/index.html": b"page"})


@dataclass
class OneBuild:
    agent: Agent
    directory: Path
    archives: Archives

    def write(self, path: str, data: bytes) -> None:
        file = self.directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)

    async def restored(self, entry: str, path: str) -> dict[str, bytes]:
        """What an entry's folder holds; {} where it is not to be had."""
        if not await self.archives.found(entry, [path]):
            return {}
        folder = await self.archives.unpack(entry, path)
        assert folder is not None
        return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        server.create_bucket(BUCKET)
        yield server


@pytest.fixture(params=["memory", "disk", pytest.param("s3", marks=pytest.mark.matrix)])
def storage_url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "memory":
        return "memory:///"
    if request.param == "disk":
        return f"file://{tmp_path / 'artifacts'}"
    for name, value in request.getfixturevalue("s3").env().items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{next(_numbers)}"


@pytest.fixture
async def platform(database_url: str, storage_url: str, tmp_path: Path) -> AsyncIterator[Platform]:
    async with open_kit(database_url, storage_url=storage_url) as kit, served(kit) as url:
        await kit.project(await kit.actor())
        yield Platform(kit, url, tmp_path / "builds")


@asynccontextmanager
async def served(kit: Kit) -> AsyncIterator[str]:
    services = Services(
        db=kit.db,
        accounts=kit.accounts,
        projects=kit.projects,
        deployments=kit.deployments,
        sources=cast("Sources", kit.sources),
        logs=kit.logs,
        url="http://127.0.0.1:8000",
        sites_url="http://*.localhost:8080",
        hosts=frozenset({"127.0.0.1"}),
    )
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(create_app(services), log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]
        serving = asyncio.create_task(server.serve([listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


async def test_the_next_build_finds_what_the_last_one_left(platform: Platform) -> None:
    async with platform.build() as first:
        first.write(f"{MODULES}/dep/index.js", BIG)
        first.write(f"{MODULES}/small.js", b"small")
        kept = await first.archives.save({"tree-1": [MODULES]})
        assert list(kept) == [MODULES]
    async with platform.build() as second:
        assert await second.restored("tree-1", MODULES) == {"dep/index.js": BIG, "small.js": b"small"}


async def test_a_folder_within_another_is_kept_once(platform: Platform) -> None:
    async with platform.build() as first:
        first.write(f"{MODULES}/dep.js", b"dep")
        first.write(f"{CACHE}/n", b"n")
        await first.archives.save({"framework": [CACHE], "tree-1": [MODULES]})
    async with platform.build() as second:
        assert await second.restored("tree-1", MODULES) == {"dep.js": b"dep"}
        assert await second.restored("framework", CACHE) == {"n": b"n"}


async def test_several_are_on_their_way_at_once(platform: Platform) -> None:
    paths = [f"workspace/packages/{n}/node_modules" for n in range(30)]
    async with platform.build() as first:
        for path in paths:
            first.write(f"{path}/file", path.encode())
        assert list(await first.archives.save({"framework": paths})) == paths
    async with platform.build() as second:
        await second.archives.expect("framework", paths)
        assert [await second.restored("framework", path) for path in paths] == [{"file": p.encode()} for p in paths]


async def test_production_finds_nothing_of_a_branch(platform: Platform) -> None:
    async with platform.build("preview") as branch:
        branch.write(f"{CACHE}/n", b"planted")
        await branch.archives.save({"framework": [CACHE]})
    async with platform.build() as production:
        assert await production.restored("framework", CACHE) == {}


async def test_a_redeploy_without_cache_reads_none_and_leaves_its_own(platform: Platform) -> None:
    for text, readable, found in ((b"one", True, {}), (b"two", False, {}), (b"three", True, {"n": b"two"})):
        async with platform.build(readable=readable) as build:
            assert await build.restored("framework", CACHE) == found
            build.write(f"{CACHE}/n", text)
            await build.archives.save({"framework": [CACHE]})


async def test_what_would_not_fit_is_not_kept_and_costs_nothing(platform: Platform) -> None:
    async with platform.build(disk_bytes=64 * 1024) as build:
        build.write(f"{CACHE}/n", BIG)
        assert await build.archives.save({"framework": [CACHE]}) == {}
    async with platform.build() as second:
        assert await second.restored("framework", CACHE) == {}


async def test_a_folder_behind_a_link_is_not_read(platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    async with platform.build() as build:
        (build.directory / "workspace/.astro").symlink_to(tmp_path / "elsewhere")
        assert await build.archives.save({"framework": ["workspace/.astro"]}) == {}


async def test_an_archive_that_has_gone_is_a_cache_that_is_not_there(platform: Platform) -> None:
    async with platform.build() as first:
        first.write(f"{CACHE}/n", b"n")
        await first.archives.save({"framework": [CACHE]})
    team = first.agent.build.team
    async with platform.build() as second:
        assert await second.archives.found("framework", [CACHE]) == [CACHE]
        async for blob in platform.kit.store.list(team):
            await platform.kit.store.delete(team, blob.sha256)
        assert await second.archives.unpack("framework", CACHE) is None
        assert [path.name for path in second.directory.iterdir()] == ["workspace"]
