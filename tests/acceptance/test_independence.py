"""Everything behind the edge is taken away while people visit a site: database, bus, object store, every process."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from tests.acceptance.cluster import Cluster, extras, open_cluster
from tests.acceptance.harness import eventually
from tests.acceptance.repositories import Repositories

pytestmark = pytest.mark.matrix

BEHIND = ("api-0", "api-1", "dispatcher-0", "dispatcher-1", "pump")


class Visitors:
    """Four of them, without a pause; whatever is not the page is noted."""

    def __init__(self, cluster: Cluster, url: str, body: bytes) -> None:
        self.seen = 0
        self.failures: list[str] = []
        self._cluster = cluster
        self._wanted = url, body
        self._gone = threading.Event()
        self._threads = [threading.Thread(target=self._visit) for _ in range(4)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._gone.set()
        for thread in self._threads:
            thread.join(30)

    def come(self, more: int = 200) -> None:
        """Returns when so many more have been answered."""
        goal = self.seen + more
        eventually(lambda: self.seen >= goal, within_s=60, what=f"{self.failures[:3]}")

    def _visit(self) -> None:
        url, body = self._wanted
        while not self._gone.wait(0.002):
            try:
                page = self._cluster.get(url)
                if (page.status, page.body) != (200, body):
                    self.failures.append(f"{page.status} {page.body[:80]!r}")
            except OSError as error:
                self.failures.append(repr(error))
            self.seen += 1


@pytest.fixture(scope="module")
def cluster(scalemesh: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    extras(scalemesh)
    with open_cluster(scalemesh, tmp_path_factory.mktemp("independence"), with_s3=True) as running:
        yield running


def site(cluster: Cluster, git: Repositories, name: str, text: str) -> str:
    """A production site that somebody has visited: its alias."""
    cluster.project(name, git.create(name, {"index.html": text}))
    ended = cluster.ended(cluster.deploy(name, target="production")["id"])
    url: str = ended["aliases"][0]
    eventually(lambda: cluster.get(url).body == text.encode(), within_s=10, what="the site is up")
    return url


def everything_back(cluster: Cluster) -> None:
    assert cluster.store
    assert cluster.bus
    cluster.store.kill()
    cluster.store.start()
    cluster.bus.kill()
    cluster.bus.start()
    cluster.revive()
    cluster.start_is_ready()


def test_visitors_do_not_notice_what_is_missing(cluster: Cluster, git: Repositories) -> None:
    assert cluster.database
    assert cluster.store
    assert cluster.bus
    with Visitors(cluster, site(cluster, git, "standing", "here"), b"here") as visitors:
        visitors.come()
        with cluster.database.standing_still():
            visitors.come()
        cluster.database.crash()
        visitors.come()
        cluster.bus.kill()
        visitors.come()
        cluster.store.kill()
        visitors.come()
        for part in BEHIND:
            cluster.kill_part(part)
        visitors.come()
        everything_back(cluster)
        visitors.come()
    assert visitors.failures == []


def test_edge_starts_from_its_disk_with_nothing_behind_it_and_catches_up(cluster: Cluster, git: Repositories) -> None:
    assert cluster.database
    assert cluster.store
    assert cluster.bus
    url = site(cluster, git, "catching-up", "before")
    cluster.store.kill()
    cluster.bus.kill()
    for part in BEHIND:
        cluster.kill_part(part)
    with cluster.database.standing_still():
        cluster.parts["edge"].terminate()
        cluster.parts["edge"].wait(30)
        cluster.start_part("edge")
        eventually(lambda: _body(cluster, url) == b"before", within_s=30, what="served from disk")
    everything_back(cluster)
    git.create("catching-up", {"index.html": "after"})
    assert cluster.ended(cluster.deploy("catching-up", target="production")["id"])["state"] == "ready"
    eventually(lambda: cluster.get(url).body == b"after", within_s=10, what="the edge has caught up")


def _body(cluster: Cluster, url: str) -> bytes | None:
    try:
        return cluster.get(url).body
    except OSError:  # not listening yet
        return None
