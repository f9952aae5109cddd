"""A short seeded chaos run: everything is killed at random while sites are built, and at the end all of it is right."""

import os
import random
import time
from pathlib import Path

import psutil
import pytest

from tests.acceptance.harness import Platform, eventually
from tests.acceptance.repositories import Repositories
from tests.acceptance.test_survival import Traces

SEED = int(os.environ.get("SEED", "7"))
DEPLOYMENTS = int(os.environ.get("DEPLOYMENTS", "16"))
PACKAGE = '{"name": "chaos", "private": true, "scripts": {"build": "node build.mjs"}}'
BUILD = """
import {mkdirSync, writeFileSync} from "node:fs";
for (let n = 0; n < 20; n++) { console.log("tick " + n); await new Promise(done => setTimeout(done, 50)); }
mkdirSync("dist"); writeFileSync("dist/index.html", "site %d");
"""
VICTIMS = ("scalemesh.main.api", "scalemesh.main.edge", "scalemesh.main.edge_worker", "scalemesh.main.agent")


def kill_one(platform: Platform, chance: random.Random) -> str | None:
    """`kill -9` of one process of the platform's, its builds included, but the supervisor."""
    module = chance.choice(VICTIMS)
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        command = " ".join(process.info["cmdline"] or ())
        if module in command.split() or f"{module} " in command:
            ours = str(platform.data) in command + " ".join((process.info["environ"] or {}).values())
            found += [process] if ours else []
    if not found:
        return None
    chance.choice(found).kill()
    return module


@pytest.mark.matrix
def test_everything_is_killed_and_nothing_is_lost(scalemesh: Path, git: Repositories, tmp_path: Path) -> None:
    chance = random.Random(SEED)
    with Platform(scalemesh, tmp_path / "data", env={"SCALEMESH_BUILD_LEASE": "5"}) as platform:
        platform.set_up()
        started = []
        for n in range(DEPLOYMENTS):
            platform.project(f"chaos-{n}", git.create(f"chaos-{n}", {"package.json": PACKAGE, "build.mjs": BUILD % n}))
            started.append(platform.deploy(f"chaos-{n}"))
        killed = []
        for _ in range(10):
            killed.append(kill_one(platform, chance))
            time.sleep(chance.uniform(0.5, 2.0))
        eventually(platform._is_ready, within_s=60, what=f"the platform is back after {killed}")
        ended = [platform.ended(deployment["id"], within_s=240) for deployment in started]
        outcomes = [(d["state"], d["error"]) for d in ended]
        assert len(set(filter(None, killed))) > 1
        # Only a build whose agents were killed again and again may have been given up, and it says so.
        assert [
            o for o in outcomes if o[0] != "ready" and o[1]["code"] not in {"build_server_died", "lease_lost"}
        ] == []
        ready = [(n, d) for n, d in enumerate(ended) if d["state"] == "ready"]
        assert len(ready) >= DEPLOYMENTS - 2
        assert [platform.get(d["url"]).body for n, d in ready] == [f"site {n}".encode() for n, _ in ready]
        for deployment in ended:
            numbers = [line["seq"] for line in platform.log_lines(deployment["id"])]
            assert numbers == sorted(set(numbers))
        for _, deployment in ready:
            last = [line for line in platform.log_lines(deployment["id"]) if line["attempt"] == deployment["attempt"]]
            assert [t for line in last if (t := line["text"]).startswith("tick ")] == [f"tick {k}" for k in range(20)]
        eventually(lambda: not Traces.of(platform).left(), within_s=20, what="nothing is left of any build")
