"""One dispatcher per data folder."""

import asyncio
from pathlib import Path

import pytest

from scalemesh.errors import BadSettings
from scalemesh.main import dispatcher


async def test_second_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher, "_LOCK_S", 0)
    async with dispatcher._sole(tmp_path):
        with pytest.raises(BadSettings, match="Another dispatcher"):
            async with dispatcher._sole(tmp_path):
                pass


async def test_successor_waits_for_the_one_before(tmp_path: Path) -> None:
    entered = asyncio.Event()

    async def second() -> None:
        async with dispatcher._sole(tmp_path):
            entered.set()

    async with dispatcher._sole(tmp_path):
        waiting = asyncio.create_task(second())
        await asyncio.sleep(0)
        assert not entered.is_set()
    async with asyncio.timeout(30):
        await waiting
    assert entered.is_set()
