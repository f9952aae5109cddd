"""The two pipes of a step, read with backpressure."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Literal, Self

Stream = Literal["stdout", "stderr"]
OnOutput = Callable[[Stream, bytes], Awaitable[None]]

_CHUNK = 64 * 1024


class Output:
    """`stdout` and `stderr` are the writing ends, for the step; `read` returns when nobody holds them any more."""

    def __init__(self, on_output: OnOutput) -> None:
        self._on_output = on_output

    async def __aenter__(self) -> Self:
        self._out, self.stdout = os.pipe()
        self._err, self.stderr = os.pipe()
        self._ours = [self.stdout, self.stderr]
        return self

    async def __aexit__(self, *_: object) -> None:
        for fd in (self._out, self._err):
            os.close(fd)
        self.handed_over()

    def handed_over(self) -> None:
        """Close our copies of the writing ends: the step has its own."""
        while self._ours:
            os.close(self._ours.pop())

    async def read(self) -> None:
        """To the end of both. Raises what `on_output` raised, as itself."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump("stdout", self._out))
                group.create_task(self._pump("stderr", self._err))
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from failed

    async def _pump(self, stream: Stream, fd: int) -> None:
        reader = asyncio.StreamReader(limit=_CHUNK)
        protocol = asyncio.StreamReaderProtocol(reader)
        pipe = os.fdopen(os.dup(fd), "rb", 0)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, pipe)
        try:
            while data := await reader.read(_CHUNK):
                await self._on_output(stream, data)
        finally:
            transport.close()
