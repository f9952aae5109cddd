"""Group commit: calls that come while one is under way share the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Grouped(Generic[T, R]):
    """`write` takes what up to `most` callers have brought, and answers each with a result or an error of its own.

    What it raises, all of them get.
    """

    def __init__(self, write: Callable[[Sequence[T]], Awaitable[Sequence[R | Exception]]], most: int) -> None:
        self._write = write
        self._most = most
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def __call__(self, item: T) -> R:
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_all(), name="group commit")
        return await answer

    async def _write_all(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
            for (_, answer), result in zip(group, await self._results([item for item, _ in group]), strict=True):
                if answer.done():  # its caller has been canceled
                    continue
                if isinstance(result, Exception):
                    answer.set_exception(result)
                else:
                    answer.set_result(result)

    async def _results(self, items: Sequence[T]) -> Sequence[R | Exception]:
        try:
            return await self._write(items)
        except Exception as error:  # noqa: BLE001  it is raised where the answers are awaited
            return [error] * len(items)
