"""One thread, one selector, callbacks: what keeps the program inside small and quick to start."""

import contextlib
import os
import selectors
import signal
from collections.abc import Callable
from typing import Protocol


class HasFileno(Protocol):
    def fileno(self) -> int: ...


class Loop:
    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._stopped = False

    def on_readable(self, source: int | HasFileno, call: Callable[[], None]) -> None:
        self._selector.register(source, selectors.EVENT_READ, call)

    def forget(self, source: int | HasFileno) -> None:
        self._selector.unregister(source)

    def on_child(self, call: Callable[[], None]) -> None:
        """`call` after any child has died."""
        read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

        def drain() -> None:
            with contextlib.suppress(BlockingIOError):
                os.read(read, 4096)
            call()

        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        self.on_readable(read, drain)

    def stop(self) -> None:
        self._stopped = True

    def run(self) -> None:
        while not self._stopped:
            for key, _ in self._selector.select():
                key.data()
