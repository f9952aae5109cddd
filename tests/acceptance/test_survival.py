"""Kills, cancels and stops, asserted on processes, mounts, cgroups and disk."""

import os
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from scalemesh.sandbox import limits
from tests.acceptance.harness import Platform, eventually
from tests.acceptance.repositories import Repositories

SLOW = """
import {mkdirSync, writeFileSync} from "node:fs";
for (let n = 0; n < %d; n++) { console.log("tick " + n); await new Promise(done => setTimeout(done, 50)); }
mkdirSync("dist"); writeFileSync("dist/index.html", "slow but done");
"""
PACKAGE = '{"name": "slow", "private": true, "scripts": {"build": "node build.mjs"}}'


@pytest.fixture
def own(scalemesh: Path, tmp_path: Path) -> Any:
    """A platform of the test's own, to be killed."""
    with Platform(scalemesh, tmp_path / "data") as running:
        yield running.set_up()


def slow(platform: Platform, git: Repositories, name: str, ticks: int = 100) -> str:
    git.create(name, {"package.json": PACKAGE, "build.mjs": SLOW % ticks})
    platform.project(name, git.url(name))
    started: str = platform.deploy(name)["id"]
    eventually(lambda: "tick 3" in platform.log_text(started), within_s=60, what="the build runs")
    return started


@dataclass
class Traces:
    """What the builds of one platform have on this machine: their processes, control groups and folders."""

    data: Path
    processes: list[psutil.Process]
    groups: list[Path]

    @classmethod
    def of(cls, platform: Platform) -> "Traces":
        attempts = [folder.name for folder in (platform.data / "builds").glob("att_*")]
        agents = [p for p in psutil.process_iter(["cmdline"]) if _is_agent(p, platform.data)]
        below = [child for agent in agents for child in agent.children(recursive=True)]
        groups = [path for group in limits.existing() for path in group.paths if path.name[-30:] in attempts]
        return cls(platform.data, agents + below, groups)

    def left(self) -> list[str]:
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        folders = [str(path) for path in (self.data / "builds").glob("att_*")]
        processes = [str(p) for p in self.processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
        groups = [str(path) for path in self.groups if path.exists()]
        return [mount for mount in mounts if mount.startswith(f"{self.data}/builds")] + folders + processes + groups


def _is_agent(process: psutil.Process, data: Path) -> bool:
    command = " ".join(process.info["cmdline"] or ())
    return "scalemesh.main.agent" in command and str(data) in command


class TestCancel:
    def test_running_build_leaves_nothing(self, own: Platform, git: Repositories) -> None:
        started = slow(own, git, "cancel-running", ticks=2000)
        traces = Traces.of(own)
        assert len(traces.processes) > 3
        assert own.cli("cancel", started, timeout_s=20).returncode == 0
        ended = own.ended(started, within_s=10)
        assert (ended["state"], ended["error"]["code"]) == ("canceled", "canceled")
        eventually(lambda: not traces.left(), within_s=5, what=f"nothing left: {traces.left()}")

    def test_queued(self, own: Platform, git: Repositories) -> None:
        own.stop()
        own.env["SCALEMESH_BUILD_CONCURRENCY"] = "1"
        own.start()
        running = slow(own, git, "cancel-first", ticks=2000)
        waiting = own.deploy("cancel-first")["id"]
        assert own.deployment(waiting)["state"] == "queued"
        own.ok("POST", f"/deployments/{waiting}/cancel")
        assert own.ended(waiting, within_s=5)["state"] == "canceled"
        own.ok("POST", f"/deployments/{running}/cancel")
        assert own.ended(running, within_s=10)["state"] == "canceled"

    def test_twice_is_no_error_and_ended_stays_ended(self, own: Platform, git: Repositories) -> None:
        git.create("cancel-late", {"index.html": "x"})
        own.project("cancel-late", git.url("cancel-late"))
        done = own.ended(own.deploy("cancel-late")["id"])
        own.api("POST", f"/deployments/{done['id']}/cancel")
        assert own.deployment(done["id"])["state"] == "ready"


class TestKill:
    def test_api_in_the_middle_of_a_build(self, own: Platform, git: Repositories) -> None:
        """The build goes on, every line is there once and in order, and the live site never misses a request."""
        git.create("steady", {"index.html": "steady"})
        own.project("steady", git.url("steady"))
        site = own.ended(own.deploy("steady")["id"])["url"]
        started = slow(own, git, "kill-api", ticks=120)
        own.api_process().send_signal(signal.SIGKILL)
        assert own.get(site).body == b"steady"
        eventually(own._is_ready, within_s=30, what="the API is back")
        ended = own.ended(started)
        assert (ended["state"], ended["attempt"]) == ("ready", 1)
        lines = own.log_lines(started)
        assert [line["seq"] for line in lines] == list(range(len(lines)))
        ticks = [line["text"] for line in lines if line["text"].startswith("tick ")]
        assert ticks == [f"tick {n}" for n in range(120)]

    def test_agent_is_tried_again(self, own: Platform, git: Repositories) -> None:
        own.stop()
        own.env["SCALEMESH_BUILD_LEASE"] = "4"
        own.start()
        started = slow(own, git, "kill-agent", ticks=60)
        for process in psutil.process_iter(["cmdline"]):
            if _is_agent(process, own.data):
                process.kill()
        ended = own.ended(started, within_s=90)
        assert (ended["state"], ended["attempt"]) == ("ready", 2)
        lines = own.log_lines(started)
        assert [line["seq"] for line in lines] == list(range(len(lines)))

    def test_edge_worker_comes_back(self, own: Platform, git: Repositories) -> None:
        git.create("phoenix", {"index.html": "here"})
        own.project("phoenix", git.url("phoenix"))
        site = own.ended(own.deploy("phoenix")["id"])["url"]
        for edge in own.children("scalemesh.edge.worker") or own.children("edge"):
            edge.kill()

        def answers() -> bool:
            try:
                return own.get(site).body == b"here"
            except OSError:
                return False

        eventually(answers, within_s=10, what="the site is back")

    def test_site_is_served_without_api(self, own: Platform, git: Repositories) -> None:
        git.create("static-stability", {"index.html": "still here"})
        own.project("static-stability", git.url("static-stability"))
        site = own.ended(own.deploy("static-stability")["id"])["url"]
        api = own.api_process()
        api.suspend()
        try:
            assert own.get(site).body == b"still here"
        finally:
            api.resume()


class TestStop:
    def test_within_five_seconds_and_everything_is_kept(self, own: Platform, git: Repositories) -> None:
        git.create("kept", {"index.html": "kept"})
        own.project("kept", git.url("kept"))
        site = own.ended(own.deploy("kept")["id"])["url"]
        running = slow(own, git, "requeued", ticks=60)
        traces = Traces.of(own)
        assert own.stop() < 5
        assert traces.left() == []
        own.start()
        assert "one-time link" not in own.log.read_text().rpartition("Dashboard")[2]
        assert own.get(site).body == b"kept"
        ended = own.ended(running)
        assert (ended["state"], ended["attempt"]) == ("ready", 2)

    def test_taken_port_names_the_setting(self, own: Platform, tmp_path: Path) -> None:
        second = Platform(own.scalemesh, tmp_path / "second", api_port=own.api_port)
        done = second.cli(
            "up", "--data-dir", second.data, "--api-port", str(own.api_port), "--edge-port", str(second.edge_port)
        )
        assert done.returncode == 2
        assert (len(done.stderr.splitlines()), "SCALEMESH_API_PORT" in done.stderr) == (1, True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only a platform that root started could build as root")
def test_no_process_or_file_of_a_build_is_ever_root(own: Platform, git: Repositories) -> None:
    started = slow(own, git, "never-root", ticks=100)
    seen = Traces.of(own).processes
    assert len(seen) > 3
    assert [p.uids().real for p in seen if p.uids().real == 0 or p.uids().effective == 0] == []
    owners = set()
    for root, folders, names in os.walk(own.data / "builds"):
        for name in (*folders, *names):
            with suppress(FileNotFoundError):
                owners.add(Path(root, name).lstat().st_uid)
    assert owners
    assert 0 not in owners
    own.ok("POST", f"/deployments/{started}/cancel")
