"""What every dispatch backend must do: subclass BackendContract and give it a `backend` fixture."""

import asyncio
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

from scalemesh.core.build import Limits
from scalemesh.core.ids import new_id
from scalemesh.dispatch.backends.base import Backend, Handle, Launch

_WITHIN_S = 15.0


class BackendContract(ABC):
    """An agent started by the backend under test keeps running until it is ended or stopped."""

    @abstractmethod
    async def end(self, backend: Backend, attempt: str, handle: Handle) -> None:
        """Ends the agent as a crash would."""

    @abstractmethod
    def remains(self, backend: Backend, attempt: str) -> list[str]:
        """What can be seen of an attempt, looked for without asking the backend."""

    @abstractmethod
    def another(self, backend: Backend) -> AbstractAsyncContextManager[Backend]:
        """The same place as a process sees it that has just started, and knows nothing of this one."""

    async def test_launched_runs(self, backend: Backend) -> None:
        launch = new_launch()
        handle = await backend.launch(launch)
        assert (await backend.poll(launch.attempt, handle)).running
        assert self.remains(backend, launch.attempt)

    async def test_launch_again_finds_it_started(self, backend: Backend) -> None:
        launch = new_launch()
        first = await backend.launch(launch)
        assert await backend.launch(launch) == first

    async def test_stop_leaves_nothing(self, backend: Backend) -> None:
        launch = new_launch()
        handle = await backend.launch(launch)
        await backend.stop(launch.attempt, handle)
        assert self.remains(backend, launch.attempt) == []
        assert not (await backend.poll(launch.attempt, handle)).running

    async def test_stop_without_its_handle(self, backend: Backend) -> None:
        launch = new_launch()
        await backend.launch(launch)
        await backend.stop(launch.attempt, None)
        assert self.remains(backend, launch.attempt) == []

    async def test_stop_twice(self, backend: Backend) -> None:
        launch = new_launch()
        handle = await backend.launch(launch)
        await backend.stop(launch.attempt, handle)
        await backend.stop(launch.attempt, handle)

    async def test_stop_before_it_was_launched(self, backend: Backend) -> None:
        launch = new_launch()
        await backend.stop(launch.attempt, None)
        assert self.remains(backend, launch.attempt) == []
        assert launch.attempt not in await backend.existing()

    async def test_its_handle_and_another_process_are_enough(self, backend: Backend) -> None:
        launch = new_launch()
        handle = json.loads(json.dumps(await backend.launch(launch)))
        async with self.another(backend) as other:
            assert (await other.poll(launch.attempt, handle)).running
            assert launch.attempt in await other.existing()
            assert await other.launch(launch) == handle
            await other.stop(launch.attempt, handle)
        assert self.remains(backend, launch.attempt) == []

    async def test_dead_agent_is_seen_and_its_remains_are_removed(self, backend: Backend) -> None:
        launch = new_launch()
        handle = await backend.launch(launch)
        await self.end(backend, launch.attempt, handle)

        async def gone() -> bool:
            return not (await backend.poll(launch.attempt, handle)).running

        await _until(gone)
        ended = (await backend.poll(launch.attempt, handle)).ended
        assert (ended.code, ended.infrastructure) == ("build_server_died", True)
        await backend.stop(launch.attempt, handle)
        assert self.remains(backend, launch.attempt) == []

    async def test_unknown_attempt_does_not_run(self, backend: Backend) -> None:
        assert not (await backend.poll(new_id("att"), None)).running

    async def test_existing_lists_what_a_sweep_must_see(self, backend: Backend) -> None:
        launch = new_launch()
        before = await backend.existing()
        handle = await backend.launch(launch)
        during = await backend.existing()
        await backend.stop(launch.attempt, handle)
        assert (during - before, await backend.existing()) == ({launch.attempt}, before)

    async def test_stopping_one_leaves_the_other(self, backend: Backend) -> None:
        one, other = new_launch(), new_launch()
        await backend.launch(one)
        handle = await backend.launch(other)
        await backend.stop(one.attempt, None)
        assert (await backend.poll(other.attempt, handle)).running


def new_launch() -> Launch:
    return Launch(new_id("att"), new_id("dpl"), 1, "smb_token", Limits(memory_bytes=512 * 1024**2))


async def _until(look: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + _WITHIN_S
    while not await look():
        if time.monotonic() > deadline:
            raise TimeoutError("not in time")
        await asyncio.sleep(0.02)
