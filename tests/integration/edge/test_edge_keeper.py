"""Keeper and workers as processes: activation, independence of what is behind, restarts without a failed request."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.integration.edge.harness import DEADLINE_S, Edge, FeedServer, Store

HOST = "blog.localhost"
BIG = os.urandom(1_000_000)
HUGE = os.urandom(6_000_000)


async def publish(feed: FeedServer, store: Store, files: dict[str, bytes], host: str = HOST, **options: bool) -> None:
    await feed.until_acknowledged(await feed.publish(host, store.manifest(files), **options))


async def body(edge: Edge, path: str = "/", host: str = HOST) -> bytes:
    return (await asyncio.to_thread(edge.get, path, host)).body


async def status(edge: Edge, path: str = "/", host: str = HOST) -> int:
    return (await asyncio.to_thread(edge.get, path, host)).status


class TestRoutes:
    async def test_acknowledged_means_served(self, edge: Edge, feed: FeedServer, store: Store) -> None:
        for number in range(20):
            await publish(feed, store, {"/index.html": b"%d" % number})
            assert await body(edge) == b"%d" % number

    async def test_unknown_host(self, edge: Edge, feed: FeedServer, store: Store) -> None:
        assert await status(edge, host="nobody.localhost") == 503  # no routes were ever heard of
        await publish(feed, store, {"/index.html": b"x"})
        assert await status(edge, host="nobody.localhost") == 404

    async def test_a_released_host_is_gone(self, edge: Edge, feed: FeedServer, store: Store) -> None:
        await publish(feed, store, {"/index.html": b"x"})
        await feed.until_acknowledged(await feed.publish(HOST, None))
        assert await status(edge) == 404

    async def test_previews_are_not_for_search_engines(self, edge: Edge, feed: FeedServer, store: Store) -> None:
        await publish(feed, store, {"/index.html": b"x"}, "preview.localhost", production=False)
        await publish(feed, store, {"/index.html": b"x"})
        preview, production = edge.get("/", "preview.localhost"), edge.get("/")
        assert preview.headers["x-robots-tag"] == "noindex"
        assert "x-robots-tag" not in production.headers

    async def test_one_bad_manifest_does_not_hold_up_the_others(
        self, edge: Edge, feed: FeedServer, store: Store
    ) -> None:
        broken = store.put(b'{"files": 3}')
        await feed.publish("broken.localhost", broken)
        await publish(feed, store, {"/index.html": b"fine"})
        assert await body(edge) == b"fine"
        assert await status(edge, host="broken.localhost") == 404

    async def test_a_manifest_that_is_late_is_not_acknowledged_before_it_is_there(
        self, edge: Edge, feed: FeedServer, store: Store
    ) -> None:
        ref = store.manifest({"/index.html": b"late"})
        hidden = store.path(ref.sha256).rename(store.folder / "hidden")
        polls = feed.polls
        version = await feed.publish(HOST, ref)
        while feed.polls < polls + 2:
            await asyncio.sleep(0.01)
        assert feed.acknowledged < version
        hidden.rename(store.path(ref.sha256))
        await feed.until_acknowledged(version)
        assert await body(edge) == b"late"


class TestBlobs:
    async def test_a_corrupted_blob_is_fetched_again_and_never_served(
        self, edge: Edge, feed: FeedServer, store: Store
    ) -> None:
        small, big = b"small" * 1000, BIG
        await publish(feed, store, {"/s.bin": small, "/b.bin": big})
        assert await body(edge, "/b.bin") == big
        await asyncio.to_thread(edge.until, lambda: len(edge.blobs()) == 3)
        for path in edge.blobs():
            data = path.read_bytes()
            path.write_bytes(b"X" + data[1:])
        assert await body(edge, "/s.bin") == small
        assert await body(edge, "/b.bin") == big

    async def test_a_blob_that_the_store_has_lost_is_503_and_then_mended(
        self, edge: Edge, feed: FeedServer, store: Store
    ) -> None:
        ref = store.put(b"data")
        manifest = store.manifest({"/a.bin": b"data"})
        store.path(ref.sha256).unlink()
        await feed.until_acknowledged(await feed.publish(HOST, manifest))
        assert await status(edge, "/a.bin") == 503
        store.put(b"data")
        assert await body(edge, "/a.bin") == b"data"

    async def test_a_store_with_other_bytes_under_the_name_is_not_believed(
        self, edge: Edge, feed: FeedServer, store: Store
    ) -> None:
        manifest = store.manifest({"/a.bin": b"data"})
        store.path(store.put(b"data").sha256).write_bytes(b"evil")
        await feed.until_acknowledged(await feed.publish(HOST, manifest))
        assert await status(edge, "/a.bin") == 503

    async def test_a_range_of_a_large_file_that_is_not_here_fetches_just_that(
        self, edge: Edge, feed: FeedServer, store: Store
    ) -> None:
        await publish(feed, store, {"/huge.bin": HUGE}, production=False)
        answer = await asyncio.to_thread(edge.get, "/huge.bin", Range="bytes=1000000-3499999")
        assert (answer.status, answer.body == HUGE[1_000_000:3_500_000]) == (206, True)
        assert answer.headers["content-range"] == f"bytes 1000000-3499999/{len(HUGE)}"
        several = await asyncio.to_thread(edge.get, "/huge.bin", Range="bytes=0-9,2000000-2000099")
        assert (several.status, HUGE[:10] in several.body, HUGE[2_000_000:2_000_100] in several.body) == (
            206,
            True,
            True,
        )
        assert len(edge.blobs()) == 1  # the manifest

    async def test_a_connection_goes_on_after_a_range_from_the_store(
        self, edge: Edge, feed: FeedServer, store: Store
    ) -> None:
        await publish(feed, store, {"/huge.bin": HUGE, "/s.bin": b"small"}, production=False)
        with edge.connect() as wire:
            request = f"Host: {HOST}\r\nRange: bytes=5-999999\r\n\r\n".encode()
            wire.send(b"GET /huge.bin HTTP/1.1\r\n" + request + b"GET /s.bin HTTP/1.1\r\n" + request)
            answers = [await asyncio.to_thread(wire.answer) for _ in range(2)]
        assert [answers[0].body == HUGE[5:1_000_000], answers[1].status] == [True, 416]

    async def test_a_range_that_the_store_cannot_give_is_503(self, edge: Edge, feed: FeedServer, store: Store) -> None:
        await publish(feed, store, {"/huge.bin": HUGE}, production=False)
        store.path(store.put(HUGE).sha256).unlink()
        assert (await asyncio.to_thread(edge.get, "/huge.bin", Range="bytes=0-9")).status == 503

    async def test_a_store_that_ends_within_a_range_breaks_the_connection(
        self, edge: Edge, feed: FeedServer, store: Store
    ) -> None:
        await publish(feed, store, {"/huge.bin": HUGE}, production=False)
        store.path(store.put(HUGE).sha256).write_bytes(HUGE[:2_000_000])
        with edge.connect() as wire:
            wire.send(f"GET /huge.bin HTTP/1.1\r\nHost: {HOST}\r\nRange: bytes=0-2999999\r\n\r\n".encode())
            with pytest.raises(ConnectionResetError):
                await asyncio.to_thread(wire.answer)

    async def test_many_misses_at_once(self, edge: Edge, feed: FeedServer, store: Store) -> None:
        await publish(feed, store, {"/b.bin": BIG})
        bodies = await asyncio.gather(*(body(edge, "/b.bin") for _ in range(30)))
        assert bodies == [BIG] * 30


class TestIndependence:
    async def test_starts_from_disk_with_everything_down(self, edge: Edge, feed: FeedServer, store: Store) -> None:
        await publish(feed, store, {"/index.html": b"still here"})
        await asyncio.to_thread(edge.until, lambda: len(edge.blobs()) == 2)  # the manifest, and a page nobody asked for
        await asyncio.to_thread(edge.stop)
        await feed.stop()
        store.folder.rename(store.folder.with_name("gone"))
        await asyncio.to_thread(edge.start)
        assert await body(edge) == b"still here"

    async def test_right_within_a_second_after_the_feed_comes_back(
        self, edge: Edge, feed: FeedServer, store: Store
    ) -> None:
        await publish(feed, store, {"/index.html": b"one"})
        await feed.stop()
        assert await body(edge) == b"one"
        version = await feed.publish(HOST, store.manifest({"/index.html": b"two"}))
        await feed.start()
        started = time.monotonic()
        await feed.until_acknowledged(version)
        assert time.monotonic() - started <= 1
        assert await body(edge) == b"two"

    async def test_a_damaged_index_is_filled_again(self, edge: Edge, feed: FeedServer, store: Store) -> None:
        await publish(feed, store, {"/index.html": b"x"})
        await asyncio.to_thread(edge.stop)
        for name in ("index.db", "index.db-wal", "index.db-shm"):
            (edge.data / "edge" / name).write_bytes(b"garbage" * 1000)
        await asyncio.to_thread(edge.start)
        await asyncio.to_thread(edge.until, lambda: edge.get("/").body == b"x")


class Load:
    """Keep-alive requests one after another from a few threads; every failure counts, but not a polite close."""

    def __init__(self, edge: Edge) -> None:
        self.failures: list[str] = []
        self.served = 0
        self._edge = edge
        self._stop = threading.Event()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with self._edge.connect() as wire:
                    while not self._stop.is_set():
                        wire.send(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
                        answer = wire.answer()
                        self.served += 1
                        if answer.status != 200:
                            self.failures.append(str(answer.status))
                        if answer.headers.get("connection") == "close":
                            break
            except OSError as error:
                self.failures.append(repr(error))

    @contextmanager
    def running(self) -> Iterator["Load"]:
        threads = [threading.Thread(target=self._run) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(DEADLINE_S)

    def until_served(self, more: int) -> None:
        goal, deadline = self.served + more, time.monotonic() + DEADLINE_S
        while self.served < goal:
            assert time.monotonic() < deadline, self.failures[:3]
            time.sleep(0.01)


class TestRestarts:
    async def test_promoting_under_load_fails_no_request(self, edge: Edge, feed: FeedServer, store: Store) -> None:
        manifests = [store.manifest({"/index.html": b"%d" % number}) for number in range(2)]
        await feed.until_acknowledged(await feed.publish(HOST, manifests[0]))
        with Load(edge).running() as load:
            for number in range(30):
                await feed.until_acknowledged(await feed.publish(HOST, manifests[number % 2]))
            await asyncio.to_thread(load.until_served, 100)
        assert load.failures == []

    async def test_replacing_a_worker_under_load_fails_no_request(
        self, edge: Edge, feed: FeedServer, store: Store
    ) -> None:
        await publish(feed, store, {"/index.html": b"x"})
        with Load(edge).running() as load:
            await asyncio.to_thread(load.until_served, 100)
            (worker,) = edge.workers()
            os.kill(worker, signal.SIGTERM)
            await asyncio.to_thread(edge.until, lambda: edge.workers() not in ([worker], []))
            await asyncio.to_thread(load.until_served, 100)
        assert load.failures == []

    async def test_a_killed_worker_comes_back(self, edge: Edge, feed: FeedServer, store: Store) -> None:
        await publish(feed, store, {"/index.html": b"x"})
        (worker,) = edge.workers()
        os.kill(worker, signal.SIGKILL)
        assert await body(edge) == b"x"
        assert edge.workers() != [worker]

    async def test_workers_outlive_the_keeper_and_make_room_for_the_next_ones(
        self, edge: Edge, feed: FeedServer, store: Store
    ) -> None:
        await publish(feed, store, {"/index.html": b"x"})
        assert await body(edge) == b"x"
        (orphan,) = edge.workers()
        await asyncio.to_thread(edge.stop, signal.SIGKILL)
        assert await body(edge) == b"x"
        await asyncio.to_thread(edge.start)
        await asyncio.to_thread(edge.until, lambda: not Path(f"/proc/{orphan}/cmdline").exists() or _is_zombie(orphan))
        assert await body(edge) == b"x"
        version = await feed.publish(HOST, store.manifest({"/index.html": b"y"}))
        await feed.until_acknowledged(version)
        assert await body(edge) == b"y"

    async def test_stops_within_five_seconds_with_connections_open(
        self, edge: Edge, feed: FeedServer, store: Store
    ) -> None:
        await publish(feed, store, {"/index.html": b"x"})
        with edge.connect() as idle, edge.connect() as half:
            half.send(b"GET / HTTP/1.1\r\n")
            idle.send(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
            idle.answer()
            started = time.monotonic()
            assert await asyncio.to_thread(edge.stop) == 0
            assert time.monotonic() - started <= 5

    async def test_a_taken_port_is_a_clear_error(
        self, edge: Edge, store: Store, feed: FeedServer, tmp_path: Path
    ) -> None:
        other = Edge(tmp_path / "other", store, feed.port)
        message = await asyncio.to_thread(other.refused, edge.port)
        assert "SCALEMESH_EDGE_PORT" in message
        assert str(edge.port) in message


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True
