"""An edge that listens on a unix socket, too: a file among others' files, and through every way to replace the edge."""

import asyncio
import os
import shutil
import signal
import socket
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.integration.edge.harness import Answer, Edge, FeedServer, Store, Wire

HOST = "blog.localhost"
ASK = f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: that of a socket has at most 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="sm-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / "edge.sock"


def edge_at(path: Path, tmp_path: Path, store: Store, feed: FeedServer, **environ: str) -> Edge:
    environ = {f"SCALEMESH_EDGE_{name}": value for name, value in environ.items()}
    return Edge(tmp_path / "data", store, feed.port, 2, environ | {"SCALEMESH_EDGE_SOCKET": str(path)})


@pytest.fixture
async def edge(path: Path, tmp_path: Path, store: Store, feed: FeedServer) -> AsyncIterator[Edge]:
    running = edge_at(path, tmp_path, store, feed)
    await asyncio.to_thread(running.start)
    await feed.until_acknowledged(await feed.publish(HOST, store.manifest({"/index.html": b"home", "/big": BIG})))
    yield running
    await asyncio.to_thread(running.clean)


BIG = os.urandom(2_000_000)


def asked(path: Path, raw: bytes = ASK) -> Answer:
    with Wire(path) as wire:
        wire.send(raw)
        return wire.answer()


async def get(path: Path) -> bytes:
    return (await asyncio.to_thread(asked, path)).body


class TestServing:
    async def test_beside_the_port(self, edge: Edge, path: Path) -> None:
        assert await get(path) == b"home"
        assert (await asyncio.to_thread(edge.get, "/")).body == b"home"

    async def test_a_large_file(self, edge: Edge, path: Path) -> None:
        assert (await asyncio.to_thread(asked, path, ASK.replace(b" / ", b" /big "))).body == BIG

    async def test_owner_and_group_may_connect(self, edge: Edge, path: Path) -> None:
        assert stat.filemode(path.stat().st_mode) == "srw-rw----"

    async def test_stopping_removes_it(self, edge: Edge, folder: Path) -> None:
        await asyncio.to_thread(edge.stop)
        assert list(folder.iterdir()) == []


class TestReplacing:
    async def test_a_killed_worker(self, edge: Edge, path: Path) -> None:
        for pid in edge.workers():
            os.kill(pid, signal.SIGKILL)
        assert await get(path) == b"home"

    async def test_the_keeper_by_hangup(self, edge: Edge, path: Path) -> None:
        before, inode = edge.workers(), path.stat().st_ino
        assert edge.process is not None
        edge.process.send_signal(signal.SIGHUP)
        await asyncio.to_thread(edge.until, lambda: len(edge.workers()) == 2 and not set(edge.workers()) & set(before))
        assert (await get(path), path.stat().st_ino) == (b"home", inode)

    async def test_a_killed_keeper_whose_workers_serve(self, edge: Edge, path: Path, folder: Path) -> None:
        inode, home = path.stat().st_ino, await get(path)
        await asyncio.to_thread(edge.stop, signal.SIGKILL)
        assert await get(path) == home
        await asyncio.to_thread(edge.start)
        await asyncio.to_thread(edge.until, lambda: path.stat().st_ino != inode)
        assert (await get(path), list(folder.iterdir())) == (b"home", [path])

    async def test_the_file_of_a_dead_edge(self, edge: Edge, path: Path) -> None:
        await asyncio.to_thread(edge.stop)
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        await asyncio.to_thread(edge.start)
        assert await get(path) == b"home"


class TestSettings:
    @pytest.mark.parametrize("mode", ["600", "666"])
    async def test_mode(self, path: Path, tmp_path: Path, store: Store, feed: FeedServer, mode: str) -> None:
        edge = edge_at(path, tmp_path, store, feed, SOCKET_MODE=mode)
        try:
            await asyncio.to_thread(edge.start)
            assert stat.S_IMODE(path.stat().st_mode) == int(mode, 8)
        finally:
            await asyncio.to_thread(edge.clean)

    async def test_proxy_protocol_counts_where_the_socket_is_listed(
        self, path: Path, tmp_path: Path, store: Store, feed: FeedServer
    ) -> None:
        edge = edge_at(path, tmp_path, store, feed, TRUSTED="unix")
        try:
            await asyncio.to_thread(edge.start)
            await feed.until_acknowledged(await feed.publish(HOST, store.manifest({"/index.html": b"home"})))
            greeting = b"PROXY TCP4 198.51.100.9 127.0.0.1 4711 80\r\n"
            assert (await asyncio.to_thread(asked, path, greeting + ASK)).body == b"home"
            with edge.connect() as wire:
                wire.send(greeting + ASK)
                assert wire.answer().status == 400
        finally:
            await asyncio.to_thread(edge.clean)

    async def test_proxy_protocol_is_not_expected_otherwise(self, edge: Edge, path: Path) -> None:
        greeting = b"PROXY TCP4 198.51.100.9 127.0.0.1 4711 80\r\n"
        assert (await asyncio.to_thread(asked, path, greeting + ASK)).status == 400

    @pytest.mark.parametrize(
        ("environ", "named"),
        [
            ({"SOCKET_MODE": "rw"}, "SCALEMESH_EDGE_SOCKET_MODE"),
            ({"SOCKET_GROUP": "no-such-group"}, "SCALEMESH_EDGE_SOCKET_GROUP"),
        ],
    )
    def test_bad_ones_are_named(
        self, path: Path, tmp_path: Path, store: Store, environ: dict[str, str], named: str
    ) -> None:
        edge = edge_at(path, tmp_path, store, FeedServer(), **environ)
        assert named in edge.refused(edge.port)
        assert not path.exists()

    def test_another_file_stays(self, path: Path, tmp_path: Path, store: Store) -> None:
        path.write_text("mine")
        edge = edge_at(path, tmp_path, store, FeedServer())
        assert f"Cannot listen on {path}" in edge.refused(edge.port)
        assert path.read_text() == "mine"

    def test_a_socket_of_somebody_else_stays_his(self, path: Path, tmp_path: Path, store: Store) -> None:
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
            other.listen()
            edge = edge_at(path, tmp_path, store, FeedServer())
            assert "another process listens there" in edge.refused(edge.port)
            assert path.is_socket()

    @pytest.mark.parametrize("name", ["none/edge.sock", "x" * 120])
    def test_a_path_that_cannot_be(self, folder: Path, tmp_path: Path, store: Store, name: str) -> None:
        edge = edge_at(folder / name, tmp_path, store, FeedServer())
        assert "SCALEMESH_EDGE_SOCKET" in edge.refused(edge.port)
        assert list(folder.iterdir()) == []
