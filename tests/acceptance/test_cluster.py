"""Several APIs and dispatchers over PostgreSQL and Redis: what one process leaves, another takes up, never twice."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.acceptance.cluster import Cluster, extras, open_cluster
from tests.acceptance.harness import eventually
from tests.acceptance.repositories import Repositories
from tests.acceptance.test_survival import slow

pytestmark = pytest.mark.matrix


@pytest.fixture(scope="module")
def cluster(scalemesh: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    extras(scalemesh)
    with open_cluster(scalemesh, tmp_path_factory.mktemp("cluster"), SCALEMESH_BUILD_LEASE="5") as running:
        yield running


@pytest.fixture(autouse=True)
def whole(cluster: Cluster) -> None:
    cluster.revive()
    cluster.start_is_ready()


def agents(cluster: Cluster) -> list[psutil.Process]:
    """The running agents, of any dispatcher."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if "scalemesh.main.agent" in (command := " ".join(process.info["cmdline"] or ()))
        and str(cluster.data) in command
    ]


def builder(cluster: Cluster) -> str:
    """The dispatcher whose build runs."""
    found = {folder.parts[-3] for folder in cluster.builds()}
    assert len(found) == 1, found
    return found.pop()


def ticks(cluster: Cluster, ended: Any) -> list[str]:
    lines = cluster.log_lines(ended["id"])
    assert [line["seq"] for line in lines] == sorted({line["seq"] for line in lines})
    last = [line["text"] for line in lines if line["attempt"] == ended["attempt"]]
    return [text for text in last if text.startswith("tick ")]


def test_from_git_to_live_through_every_part(cluster: Cluster, git: Repositories) -> None:
    url = git.create("parts", {"index.html": "apart"})
    deployed = cluster.cli_json("deploy", url)
    assert deployed["state"] == "ready", deployed
    assert cluster.get(deployed["url"]).body == b"apart"
    assert "Cloning" in cluster.cli("logs", deployed["id"]).stdout


def test_dispatcher_dies_and_its_build_goes_on(cluster: Cluster, git: Repositories) -> None:
    started = slow(cluster, git, "go-on", ticks=100)
    cluster.kill_part(builder(cluster))
    ended = cluster.ended(started)
    assert (ended["state"], ended["attempt"]) == ("ready", 1)
    assert ticks(cluster, ended) == [f"tick {n}" for n in range(100)]
    assert cluster.get(ended["url"]).body == b"slow but done"


def test_dispatcher_and_agent_die_and_another_dispatcher_takes_over(cluster: Cluster, git: Repositories) -> None:
    started = slow(cluster, git, "take-over", ticks=60)
    dead = builder(cluster)
    cluster.kill_part(dead)
    for agent in agents(cluster):
        agent.kill()
    ended = cluster.ended(started)
    assert (ended["state"], ended["attempt"]) == ("ready", 2)
    assert ticks(cluster, ended) == [f"tick {n}" for n in range(60)]
    cluster.revive()
    eventually(lambda: not list(cluster.builds()), within_s=30, what="the dead one's folder is removed by its heir")


def test_api_dies_and_the_other_one_answers(cluster: Cluster, git: Repositories) -> None:
    started = slow(cluster, git, "api-dies", ticks=100)
    cluster.kill_part("api-1")
    assert cluster.deployment(started)["state"] == "building"
    cluster.revive()
    ended = cluster.ended(started)
    assert (ended["state"], ended["attempt"]) == ("ready", 1)
    assert ticks(cluster, ended) == [f"tick {n}" for n in range(100)]


def test_cancel_at_one_api_reaches_every_dispatcher(cluster: Cluster, git: Repositories) -> None:
    started = slow(cluster, git, "cancel-apart", ticks=2000)
    cluster.ok("POST", f"/deployments/{started}/cancel")
    assert cluster.ended(started, within_s=15)["state"] == "canceled"
    eventually(lambda: not agents(cluster) and not list(cluster.builds()), within_s=10, what="nothing is left")


def test_sites_are_served_while_every_other_part_is_dead(cluster: Cluster, git: Repositories) -> None:
    git.create("static-apart", {"index.html": "still here"})
    cluster.project("static-apart", git.url("static-apart"))
    site = cluster.ended(cluster.deploy("static-apart")["id"])["url"]
    for name in cluster.names:
        if name != "edge":
            cluster.kill_part(name)
    assert cluster.get(site).body == b"still here"
