"""Requests without a pause while something happens; every one that fails is noted."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from tests.integration.edge.harness import DEADLINE_S, Answer, Edge, Wire

_SLOT_S = 0.002  # between two requests of one thread: the machine has other work


class Load:
    """From a few threads, each on a connection that it keeps, or with a connection for each request.

    `patient`: as browsers do, a request whose connection ends before any answer is sent once more on a new one
    (RFC 9112 §9.3.1): nothing else can be done for what a killed worker had already accepted.
    """

    def __init__(self, edge: Edge, host: str, path: str = "/", *, keep: bool = True, patient: bool = False) -> None:
        self.failures: list[str] = []
        self.served = 0
        self.bodies: set[bytes] = set()
        self._edge = edge
        self._close = "" if keep else "Connection: close\r\n"
        self._head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{self._close}\r\n".encode()
        self._tries = 2 if patient else 1
        self._stop = threading.Event()

    @contextmanager
    def running(self, threads: int = 4) -> Iterator[Self]:
        asking = [threading.Thread(target=self._run) for _ in range(threads)]
        for thread in asking:
            thread.start()
        try:
            self.until_served(20)
            yield self
            self.until_served(100)
        finally:
            self._stop.set()
            for thread in asking:
                thread.join(DEADLINE_S)

    def until_served(self, more: int) -> None:
        goal, deadline = self.served + more, time.monotonic() + DEADLINE_S
        while self.served < goal:
            assert time.monotonic() < deadline, f"{self.served} served, {self.failures[:3]}"
            time.sleep(0.01)

    def _run(self) -> None:
        wire: Wire | None = None
        while not self._stop.wait(_SLOT_S):
            wire = self._ask(wire)
        if wire is not None:
            wire.close()

    def _ask(self, wire: Wire | None) -> Wire | None:
        for left in reversed(range(self._tries)):
            try:
                wire = wire or self._edge.connect()
                wire.send(self._head)
                return self._note(wire, wire.answer())
            except OSError as error:
                if wire is not None:
                    wire.close()
                wire = None
                if not left:
                    self.failures.append(repr(error))
        return None

    def _note(self, wire: Wire, answer: Answer) -> Wire | None:
        self.served += 1
        self.bodies.add(answer.body)
        if answer.status != 200:
            self.failures.append(str(answer.status))
        if answer.headers.get("connection") != "close":
            return wire
        wire.close()
        return None
