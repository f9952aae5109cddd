"""Chaos runs: everything is killed or paused at random while sites are built, and at the end all of it is right.

`SEED` and `DEPLOYMENTS` are of the run over the cluster.
"""

import asyncio
import contextlib
import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from scalemesh.artifacts.store import BlobStore
from tests.acceptance.cluster import Cluster, extras, open_cluster
from tests.acceptance.harness import Platform, eventually
from tests.acceptance.repositories import Repositories
from tests.acceptance.test_survival import Traces

SEED = int(os.environ.get("SEED", "7"))
DEPLOYMENTS = int(os.environ.get("DEPLOYMENTS", "6"))
TICKS = 20
PACKAGE = '{"name": "chaos", "private": true, "scripts": {"build": "node build.mjs"}}'
BUILD = """
import {mkdirSync, writeFileSync} from "node:fs";
for (let n = 0; n < 20; n++) { console.log("tick " + n); await new Promise(done => setTimeout(done, 50)); }
mkdirSync("dist"); writeFileSync("dist/index.html", "site %d");
"""
PROGRAMS = ("scalemesh.main.api", "scalemesh.main.edge", "scalemesh.main.edge_worker", "scalemesh.main.agent")
# Only a build whose processes were killed again and again may have been given up, and it says so.
GIVEN_UP = {"build_server_died", "lease_lost", "build_server_lost", "infrastructure", "storage_unavailable"}


def processes(data: Path, module: str) -> list[psutil.Process]:
    """The running processes of one module that belong to a platform, its builds included."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        command = " ".join(process.info["cmdline"] or ())
        if module in command.split() or f"{module} " in command:
            ours = str(data) in command + " ".join((process.info["environ"] or {}).values())
            found += [process] if ours else []
    return found


def kill_one(data: Path, module: str, chance: random.Random) -> bool:
    found = processes(data, module)
    if found:
        with contextlib.suppress(psutil.NoSuchProcess):  # it has just ended by itself
            chance.choice(found).kill()
    return bool(found)


def assert_right(platform: Platform, ended: Sequence[Any], *, lost: int, failed: int = 0) -> None:
    """Every one is as it says, serves its own page, and has its log in order and whole.

    At most `lost` were given up, and at most `failed` say that their own command did: somebody had killed it.
    """
    ready = [d for d in ended if d["state"] == "ready"]
    errors = [d["error"] for d in ended if d["state"] != "ready"]
    own = [error for error in errors if error["code"] not in GIVEN_UP]
    assert [error for error in own if "exit code 137" not in error["message"]] == []
    assert len(own) <= failed, errors
    assert len(errors) - len(own) <= lost, errors
    numbers = [int(d["project"].rpartition("-")[2]) for d in ready]
    assert [platform.get(d["url"]).body for d in ready] == [f"site {n}".encode() for n in numbers]
    for deployment in ended:
        seqs = [line["seq"] for line in platform.log_lines(deployment["id"])]
        assert seqs == sorted(set(seqs))
    for deployment in ready:
        last = [line for line in platform.log_lines(deployment["id"]) if line["attempt"] == deployment["attempt"]]
        said = [text for line in last if (text := line["text"]).startswith("tick ")]
        assert said == [f"tick {n}" for n in range(TICKS)], deployment["id"]


def create_projects(platform: Platform, git: Repositories, count: int) -> list[str]:
    names = [f"chaos-{n}" for n in range(count)]
    for n, name in enumerate(names):
        platform.project(name, git.create(name, {"package.json": PACKAGE, "build.mjs": BUILD % n}))
    return names


@pytest.mark.matrix
def test_all_of_up_is_killed_and_nothing_is_lost(scalemesh: Path, git: Repositories, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    with Platform(scalemesh, tmp_path / "data", env={"SCALEMESH_BUILD_LEASE": "5"}) as platform:
        platform.set_up()
        started = [platform.deploy(name) for name in create_projects(platform, git, 16)]
        killed = set()
        for _ in range(10):
            module = chance.choice(PROGRAMS)
            killed |= {module} if kill_one(platform.data, module, chance) else set()
            time.sleep(chance.uniform(0.5, 2.0))
        eventually(platform._is_ready, within_s=60, what=f"the platform is back after {killed}")
        ended = [platform.ended(deployment["id"], within_s=240) for deployment in started]
        assert len(killed) > 1
        assert_right(platform, ended, lost=2)
        eventually(lambda: not Traces.of(platform).left(), within_s=20, what="nothing is left of any build")


class Chaos:
    """Strikes at random, by a seed, until `stop`; then everything that was killed is started again."""

    def __init__(self, cluster: Cluster, seed: int) -> None:
        assert cluster.store is not None
        assert cluster.database is not None
        self._cluster, self._store, self._database = cluster, cluster.store, cluster.database
        self._chance = random.Random(seed)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.struck: list[str] = []
        self.killed_in_builds = 0
        self._blows: dict[str, Callable[[], object]] = {
            "kill a part": lambda: cluster.kill_part(self._part()),
            "pause a part": lambda: cluster.pause_part(self._part(), self._chance.uniform(0.5, 7)),
            "kill an edge worker": lambda: kill_one(cluster.data, "scalemesh.main.edge_worker", self._chance),
            "kill an agent": lambda: kill_one(cluster.data, "scalemesh.main.agent", self._chance),
            "kill a process of a build": self._kill_in_a_build,
            "restart the store": self._restart_store,
            "pause the store": lambda: self._store.pause(self._chance.uniform(0.5, 4)),
            "crash the database": self._database.crash,
            "pause the database": lambda: self._database.pause(self._chance.uniform(0.5, 4)),
        }

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(180)
        assert not self._thread.is_alive(), self.struck
        self._cluster.revive()
        self._cluster.start_is_ready()

    def _run(self) -> None:
        while not self._stopping.wait(self._chance.uniform(1, 4)):
            blow = self._chance.choice(list(self._blows))
            self._blows[blow]()
            self.struck.append(blow)
            self._cluster.revive()

    def _part(self) -> str:
        return self._chance.choice(self._cluster.names)

    def _restart_store(self) -> None:
        self._store.kill()
        time.sleep(self._chance.uniform(0, 2))
        self._store.start()

    def _kill_in_a_build(self) -> None:
        """A step's command, or what stands around it."""
        with contextlib.suppress(psutil.NoSuchProcess):
            agents = processes(self._cluster.data, "scalemesh.main.agent")
            inside = [child for agent in agents for child in agent.children(recursive=True)]
            if inside:
                self._chance.choice(inside).kill()
                self.killed_in_builds += 1


def persistently(cluster: Cluster, method: str, path: str, **options: Any) -> Any:
    """What a client does while the platform is being killed: asks again until it is answered."""
    deadline = time.monotonic() + 120
    while True:
        try:
            answer = cluster.api(method, path, **options)
        except httpx.TransportError:
            answer = None
        if answer is not None and answer.is_success:
            return answer.json()
        assert answer is None or answer.status_code >= 500, answer.text
        assert time.monotonic() < deadline, "no answer"
        time.sleep(0.2)


def persistently_ended(cluster: Cluster, identifier: str) -> Any:
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        found = persistently(cluster, "GET", f"/deployments/{identifier}")
        if found["state"] in {"ready", "error", "canceled"}:
            return found
        time.sleep(0.3)
    raise AssertionError(f"{identifier} did not end: {found}")


async def dangling(cluster: Cluster, ended: Sequence[Any]) -> list[str]:
    """What a ready deployment lists and the store does not have."""
    store = BlobStore(cluster.env["SCALEMESH_STORAGE_URL"])
    team = cluster.ok("GET", "/me")["team"]["id"]
    shas = {
        file["sha256"]
        for d in ended
        if d["state"] == "ready"
        for file in cluster.ok("GET", f"/deployments/{d['id']}/files")["items"]
    }
    return [sha for sha in shas if await store.head(team, sha) is None]


@pytest.mark.matrix
@pytest.mark.timeout(400 + 20 * DEPLOYMENTS)
def test_all_of_a_cluster_is_killed_and_nothing_is_lost(
    scalemesh: Path, git: Repositories, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extras(scalemesh)
    with open_cluster(scalemesh, tmp_path, with_s3=True, SCALEMESH_BUILD_LEASE="5") as cluster:
        assert cluster.store is not None
        for name, value in cluster.store.env().items():
            monkeypatch.setenv(name, value)
        names = create_projects(cluster, git, DEPLOYMENTS)
        chaos = Chaos(cluster, SEED)
        chaos.start()
        try:
            body = {"target": "production"}
            started = [
                persistently(cluster, "POST", f"/projects/{name}/deployments", json=body)["id"] for name in names
            ]
            first = [persistently_ended(cluster, each) for each in started[: DEPLOYMENTS * 3 // 4]]
        finally:
            chaos.stop()
        ended = first + [cluster.ended(each, within_s=240) for each in started[len(first) :]]
        assert chaos.struck
        assert_right(cluster, ended, lost=max(1, DEPLOYMENTS // 20), failed=chaos.killed_in_builds)
        assert asyncio.run(dangling(cluster, ended)) == []
        eventually(lambda: not left(cluster), within_s=90, what=f"nothing is left of any build: {left(cluster)}")


def left(cluster: Cluster) -> list[str]:
    """Agents, folders and mounts of builds."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    agents = [str(process) for process in processes(cluster.data, "scalemesh.main.agent")]
    mounted = [mount for mount in mounts if mount.startswith(str(cluster.data))]
    return agents + mounted + [str(folder) for folder in cluster.builds()]
