"""From a Git URL to a live site over the engines of many machines: PostgreSQL, S3, ClickHouse, and Redis or Kafka."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from scalemesh.testing.log_engines import BrokerEngine, KafkaEngine, RedisEngine
from tests.acceptance.cluster import Cluster, extras, open_cluster
from tests.acceptance.harness import eventually
from tests.acceptance.repositories import Repositories
from tests.acceptance.test_survival import slow

pytestmark = pytest.mark.matrix


@pytest.fixture(scope="module", params=[RedisEngine, KafkaEngine], ids=["redis", "kafka"])
def cluster(
    request: pytest.FixtureRequest, scalemesh: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    extras(scalemesh)
    bus: type[BrokerEngine] = request.param
    folder = tmp_path_factory.mktemp("composition")
    with open_cluster(scalemesh, folder, bus=bus, with_s3=True, with_clickhouse=True) as running:
        yield running


def test_site_is_deployed_moved_and_moved_back(cluster: Cluster, git: Repositories) -> None:
    git.create("composed", {"index.html": "first"})
    cluster.project("composed", git.url("composed"))
    pages = []
    for text in ("first", "second"):
        git.create("composed", {"index.html": text})
        pages.append(cluster.ended(cluster.deploy("composed")["id"]))
        assert (pages[-1]["state"], cluster.get(pages[-1]["aliases"][0]).body) == ("ready", text.encode())
    cluster.ok("POST", "/projects/composed/rollback")
    assert cluster.get(pages[1]["aliases"][0]).body == b"first"
    cluster.ok("POST", f"/deployments/{pages[1]['id']}/promote")
    assert [cluster.get(url).body for url in (pages[1]["aliases"][0], pages[0]["url"])] == [b"second", b"first"]


def test_every_line_of_a_build_is_archived_once_and_in_order(cluster: Cluster, git: Repositories) -> None:
    started = slow(cluster, git, "lines", ticks=60)
    live = cluster.cli("logs", started, "-f").stdout
    assert cluster.ended(started)["state"] == "ready"
    ticks = [f"tick {n}" for n in range(60)]
    assert [line for line in live.splitlines() if line.startswith("tick ")] == ticks
    lines = cluster.log_lines(started)
    assert [line["seq"] for line in lines] == list(range(len(lines)))
    assert [line["text"] for line in lines if line["text"].startswith("tick ")] == ticks
    found = cluster.ok("GET", f"/deployments/{started}/logs/search?q=tick%2041&mode=substring")["items"]
    assert [hit["line"]["text"] for hit in found] == ["tick 41"]


def test_cancel_leaves_nothing(cluster: Cluster, git: Repositories) -> None:
    started = slow(cluster, git, "composed-cancel", ticks=2000)
    cluster.ok("POST", f"/deployments/{started}/cancel")
    assert cluster.ended(started, within_s=15)["state"] == "canceled"
    eventually(lambda: not list(cluster.builds()), within_s=10, what="no folder of a build is left")
