import os
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from scalemesh.dispatch.backends import processes
from scalemesh.dispatch.backends.base import Backend, Handle
from scalemesh.dispatch.backends.local import LocalBackend
from scalemesh.testing.backend_contract import BackendContract, new_launch
from tests.integration.build_api import BuildApi
from tests.integration.builds import Farm, eventually, remains


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[Farm]:
    async with BuildApi(is_away=True).serve() as api, Farm(tmp_path, api).open() as opened:
        yield opened


@pytest.fixture
def backend(farm: Farm) -> Backend:
    return farm.backend


class TestLocalBackend(BackendContract):
    async def end(self, backend: Backend, attempt: str, handle: Handle) -> None:
        os.kill(handle["pid"], signal.SIGKILL)

    def another(self, backend: Backend) -> AbstractAsyncContextManager[Backend]:
        assert isinstance(backend, LocalBackend)
        return LocalBackend(backend._settings)

    def remains(self, backend: Backend, attempt: str) -> list[str]:
        return remains(attempt)


async def test_agent_outlives_its_dispatcher_and_is_found_by_its_handle(farm: Farm) -> None:
    launch = new_launch()
    handle = await farm.backend.launch(launch)
    async with Farm(farm.data, farm.api).open() as later:
        assert (await later.backend.poll(launch.attempt, handle)).running
        await later.backend.stop(launch.attempt, handle)
        assert remains(launch.attempt) == []


async def test_another_process_with_the_same_pid_is_not_the_agent(farm: Farm) -> None:
    launch = new_launch()
    handle = await farm.backend.launch(launch)
    await farm.backend.stop(launch.attempt, handle)
    ours = handle | {"pid": os.getpid()}
    assert not (await farm.backend.poll(launch.attempt, ours)).running


async def test_nothing_of_another_boot_runs(farm: Farm) -> None:
    handle = {"pid": os.getpid(), "start_time": processes.start_time(os.getpid()), "boot_id": "another"}
    assert not (await farm.backend.poll("att_x", handle)).running


async def test_why_an_agent_ended_is_said(farm: Farm) -> None:
    farm.api.is_away = False
    launch = new_launch()
    handle = await farm.backend.launch(launch)
    await eventually(lambda: processes.start_time(handle["pid"]) is None)
    assert "exit code" in (await farm.backend.poll(launch.attempt, handle)).detail


@pytest.mark.skipif(os.geteuid() != 0, reason="uids are handed out by root")
async def test_each_attempt_has_a_uid_of_its_own(farm: Farm) -> None:
    launches = [new_launch() for _ in range(3)]
    handles = [await farm.backend.launch(launch) for launch in launches]
    await eventually(lambda: all(Path(f"/proc/{h['pid']}").stat().st_uid != 0 for h in handles))
    assert len({Path(f"/proc/{h['pid']}").stat().st_uid for h in handles}) == 3


async def test_token_is_on_no_command_line_and_in_no_environment(farm: Farm) -> None:
    launch = new_launch()
    handle = await farm.backend.launch(launch)
    await eventually(lambda: not (farm.data / "builds" / launch.attempt / "token").exists())
    seen = [Path(f"/proc/{handle['pid']}/{name}").read_bytes() for name in ("cmdline", "environ")]
    assert launch.token.encode() not in b"".join(seen)
