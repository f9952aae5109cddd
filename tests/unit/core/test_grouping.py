import asyncio
from collections.abc import Sequence

import pytest

from scalemesh.core.grouping import Grouped


class Writer:
    """Doubles numbers; the first call waits for `go`. 13 is an error of its own, 666 one for all."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.go = asyncio.Event()

    async def write(self, items: Sequence[int]) -> Sequence[int | Exception]:
        self.groups.append(list(items))
        await self.go.wait()
        if 666 in items:
            raise ConnectionError
        return [ValueError() if item == 13 else 2 * item for item in items]


async def started(*items: int, writer: Writer, most: int = 3) -> list[asyncio.Task[int]]:
    grouped = Grouped(writer.write, most)
    tasks = [asyncio.create_task(grouped(item)) for item in items]
    await asyncio.sleep(0)  # all of them have called
    return tasks


async def test_what_comes_while_one_is_under_way_goes_together() -> None:
    writer = Writer()
    tasks = await started(1, 2, 3, 4, 5, writer=writer)
    writer.go.set()
    assert await asyncio.gather(*tasks) == [2, 4, 6, 8, 10]
    assert writer.groups == [[1, 2, 3], [4, 5]]


async def test_an_error_is_its_callers_alone() -> None:
    writer = Writer()
    tasks = await started(1, 13, writer=writer)
    writer.go.set()
    first, second = await asyncio.gather(*tasks, return_exceptions=True)
    assert (first, type(second)) == (2, ValueError)


async def test_what_the_write_raises_all_of_its_group_get_and_nobody_else() -> None:
    writer = Writer()
    tasks = await started(1, 666, writer=writer, most=2)
    writer.go.set()
    assert [type(each) for each in await asyncio.gather(*tasks, return_exceptions=True)] == [ConnectionError] * 2
    assert await (await started(7, writer=writer))[0] == 14


async def test_a_caller_that_was_canceled_holds_nobody_up() -> None:
    writer = Writer()
    first, second = await started(1, 2, writer=writer)
    first.cancel()
    writer.go.set()
    assert await second == 4
    with pytest.raises(asyncio.CancelledError):
        await first
