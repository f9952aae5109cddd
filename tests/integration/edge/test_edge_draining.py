"""An edge that stops, or makes room for its successor, while answers are under way."""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.edge.harness import Edge, FeedServer, Store, Wire

HOST = "blog.localhost"
BIG = os.urandom(8_000_000)
BUFFER = 200_000  # of a client that takes its time; all buffers on the way hold less than BIG


@pytest.fixture
def drain_s() -> int:
    return 60


@pytest.fixture
async def edge(tmp_path: Path, store: Store, feed: FeedServer, drain_s: int) -> AsyncIterator[Edge]:
    running = Edge(tmp_path / "data", store, feed.port, environ={"SCALEMESH_EDGE_DRAIN": str(drain_s)})
    await asyncio.to_thread(running.start)
    await feed.until_acknowledged(await feed.publish(HOST, store.manifest({"/index.html": b"x", "/big.bin": BIG})))
    assert (await asyncio.to_thread(running.get, "/big.bin")).body == BIG
    yield running
    await asyncio.to_thread(running.clean)


class Download:
    """A large file at a client that reads nothing until it is told to."""

    def __init__(self, edge: Edge) -> None:
        self.wire = Wire(edge.port, receive_buffer=BUFFER)
        self.wire.send(f"GET /big.bin HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        self.begun = self.wire.socket.recv(1)

    def body(self) -> bytes:
        received = bytearray(self.begun)
        while data := self.wire.socket.recv(BUFFER):
            received += data
        return bytes(received.partition(b"\r\n\r\n")[2])


def stop(edge: Edge, number: int = signal.SIGTERM) -> threading.Thread:
    stopping = threading.Thread(target=edge.stop, args=[number])
    stopping.start()
    return stopping


def refused(edge: Edge) -> bool:
    try:
        edge.connect().close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_slow_download_is_finished(edge: Edge) -> None:
    download = Download(edge)
    stopping = stop(edge)
    edge.until(lambda: refused(edge))  # draining: nobody is accepted any more
    time.sleep(4)  # more than what anything idle is given
    assert download.body() == BIG
    stopping.join()
    download.wire.close()


@pytest.mark.parametrize("drain_s", [3])
def test_a_client_that_takes_nothing_does_not_hold_it_up_for_ever(edge: Edge) -> None:
    download = Download(edge)
    stop(edge).join()
    assert len(download.body()) < len(BIG)
    download.wire.close()


def test_idle_and_half_asked_connections_do_not_hold_it_up(edge: Edge) -> None:
    with edge.connect() as idle, edge.connect() as half:
        half.send(b"GET / HTTP/1.1\r\n")
        idle.send(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        assert idle.answer().body == b"x"
        stop(edge).join()  # in DEADLINE_S, which is less than what answers under way would be given


@pytest.mark.matrix
async def test_a_replaced_edge_finishes_what_it_was_at(edge: Edge) -> None:
    (old,) = edge.workers()
    download = Download(edge)
    assert edge.process is not None
    edge.process.send_signal(signal.SIGHUP)
    await asyncio.to_thread(edge.until, lambda: edge.workers() not in ([], [old]))
    edge.process.send_signal(signal.SIGHUP)  # and once more: the first ones' children are not forgotten
    await asyncio.to_thread(edge.until, lambda: len(edge.workers()) == 2 and old in edge.workers())
    await asyncio.sleep(5)
    assert await asyncio.to_thread(download.body) == BIG
    download.wire.close()
    await asyncio.to_thread(edge.until, lambda: len(edge.workers()) == 1 and old not in edge.workers())


@pytest.mark.matrix
async def test_the_command_line_replaces_itself_with_its_options(
    tmp_path: Path, store: Store, feed: FeedServer
) -> None:
    """`scalemesh serve edge`: the folder comes from an option, and is the same afterwards."""
    scalemesh = str(Path(sys.executable).with_name("scalemesh"))
    command = [scalemesh, "serve", "edge", "--data-dir", str(tmp_path / "chosen")]
    edge = Edge(tmp_path / "other", store, feed.port, command=command)
    try:
        await asyncio.to_thread(edge.start)
        await feed.until_acknowledged(await feed.publish(HOST, store.manifest({"/index.html": b"x"})))
        (old,) = edge.workers()
        assert edge.process is not None
        edge.process.send_signal(signal.SIGHUP)
        await asyncio.to_thread(edge.until, lambda: len(edge.workers()) == 1 and old not in edge.workers())
        assert (await asyncio.to_thread(edge.get, "/")).body == b"x"
        assert not (tmp_path / "other").exists()
    finally:
        await asyncio.to_thread(edge.clean)
