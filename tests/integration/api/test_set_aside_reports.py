"""What the pump has set aside, where operators look: `scalemesh doctor` and `/metrics`."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from scalemesh.api import Services
from scalemesh.api.routes import health
from scalemesh.logs import LogService, open_bus
from scalemesh.testing.bus_contract import RefusingArchive, archived, pumping
from scalemesh.testing.log_engines import RedisEngine
from scalemesh.testing.log_lines import DEPLOYMENT, lines


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisEngine]:
    with RedisEngine(tmp_path_factory.mktemp("redis")) as engine:
        yield engine


@pytest.fixture
async def services(services: Services, redis: RedisEngine) -> AsyncIterator[Services]:
    """Their log bus is a real one, which their pump has emptied."""
    async with open_bus(redis.url) as bus:
        yield replace(services, logs=LogService(bus, RefusingArchive(refused=0), pump=False))


async def refuse_a_batch(redis: RedisEngine) -> None:
    archive = RefusingArchive(refused=0)
    async with open_bus(redis.url) as bus, pumping(bus, archive):
        await bus.publish(lines(0))
        await bus.publish(lines(1))
        assert await archived(archive, 1) == [1]


async def metrics(port: int) -> str:
    async with httpx.AsyncClient(trust_env=False) as http:
        return (await http.get(f"http://localhost:{port}/metrics")).text


async def set_aside(port: int) -> int:
    (value,) = re.findall(r"^scalemesh_logs_set_aside (\d+)$", await metrics(port), re.MULTILINE)
    return int(value)


async def test_metrics_count_what_is_set_aside(port: int, redis: RedisEngine) -> None:
    before = await set_aside(port)
    await refuse_a_batch(redis)
    assert await set_aside(port) == before + 1


async def test_metrics_do_without_a_log_bus_that_is_away(
    services: Services, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_ANSWER_S", 0.2)
    with RedisEngine(tmp_path) as engine:
        async with open_bus(engine.url) as bus:
            monkeypatch.setattr(services.logs, "_bus", bus)
            engine.kill()
            page = await metrics(port)
    assert 'scalemesh_deployments{state="queued"} 0' in page
    assert "\nscalemesh_logs_set_aside" not in page


def doctors_log_bus(folder: Path, url: str) -> Any:
    command = [str(Path(sys.executable).with_name("scalemesh")), "doctor", "--json", "--data-dir", str(folder)]
    environment = os.environ | {"SCALEMESH_LOG_BUS_URL": url}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    (found,) = [finding for finding in json.loads(done.stdout) if finding["name"] == "log bus"]
    return found


@pytest.mark.matrix
async def test_doctor_says_why_the_latest_batch_was_set_aside(redis: RedisEngine, tmp_path: Path) -> None:
    await refuse_a_batch(redis)
    found = await asyncio.to_thread(doctors_log_bus, tmp_path, redis.url)
    assert not found["ok"]
    assert f"of {DEPLOYMENT}: cannot be kept" in found["detail"]
    assert "scalemesh:logs:set-aside" in found["fix"]


@pytest.mark.matrix
@pytest.mark.parametrize(
    ("url", "detail"),
    [("memory://", "memory, nothing set aside"), ("redis://someone:secret@127.0.0.1:1", "does not answer")],
)
def test_doctor_says_whether_the_log_bus_answers(tmp_path: Path, url: str, detail: str) -> None:
    found = doctors_log_bus(tmp_path, url)
    assert (found["ok"], found["detail"]) == (url == "memory://", detail)
