import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext

import pytest

from scalemesh.dispatch.backends.base import Backend, Handle, Launch
from scalemesh.dispatch.backends.memory import MemoryBackend
from scalemesh.testing.backend_contract import BackendContract


class TestMemoryBackend(BackendContract):
    @pytest.fixture
    def backend(self) -> Backend:
        self.deaths: dict[str, asyncio.Event] = {}

        async def work(launch: Launch) -> None:
            await self.deaths.setdefault(launch.attempt, asyncio.Event()).wait()

        return MemoryBackend(work)

    async def end(self, backend: Backend, attempt: str, handle: Handle) -> None:
        self.deaths.setdefault(attempt, asyncio.Event()).set()

    def another(self, backend: Backend) -> AbstractAsyncContextManager[Backend]:
        return nullcontext(backend)  # its builds end with their process

    def remains(self, backend: Backend, attempt: str) -> list[str]:
        assert isinstance(backend, MemoryBackend)
        return [name for name in backend._tasks if name == attempt]
