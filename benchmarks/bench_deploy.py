"""A cold deploy of a Vite + React app over the same by hand: clone, `npm install`, `npm run build`.

Same Node, same registry, caches equally cold (an empty npm cache each round), in turn, median of five. The deploy is
measured from the API call to the first byte of the live page.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import report
from scalemesh.client import Client
from scalemesh.client.stream import follow
from tests.acceptance.harness import Platform
from tests.acceptance.repositories import Repositories, files_of

TARGET_OVERHEAD_S = 1.0
ROUNDS = 5


def main() -> None:
    scalemesh = Path(sys.executable).with_name("scalemesh")
    with tempfile.TemporaryDirectory() as name, Repositories(Path(name) / "git") as git:
        folder = Path(name)
        url = _scaffold(git, folder)
        with Platform(scalemesh, folder / "data") as platform:
            platform.set_up()
            pairs = [_pair(platform, url, folder, n) for n in range(ROUNDS)]
    for hand, ours in pairs:
        print(f"by hand {hand:6.2f} s   deploy {ours:6.2f} s   overhead {ours - hand:+.2f} s")
    hand_s, ours_s = (statistics.median(column) for column in zip(*pairs, strict=True))
    results = {
        "by_hand_s": round(hand_s, 2),
        "deploy_s": round(ours_s, 2),
        "overhead_s": round(statistics.median(ours - hand for hand, ours in pairs), 2),
    }
    report("deploy", results, {"deploy_over_hand": round(ours_s / hand_s, 2)}, {"overhead_s": TARGET_OVERHEAD_S})


def _pair(platform: Platform, url: str, folder: Path, n: int) -> tuple[float, float]:
    """By hand and deployed, each first in its turn: what the one leaves to be written to disk slows the other."""
    if n % 2:
        ours = _deploy(platform, url, n)
        return _by_hand(url, folder / f"hand-{n}"), ours
    return _by_hand(url, folder / f"hand-{n}"), _deploy(platform, url, n)


def _scaffold(git: Repositories, folder: Path) -> str:
    _run("npm create -y vite@latest app -- --template react-ts --no-interactive", folder, {})
    return git.create("app", files_of(folder / "app"))


def _by_hand(url: str, folder: Path) -> float:
    cache = {"npm_config_cache": str(folder / "cache"), "CI": "1"}
    started = time.monotonic()
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", url, folder / "app"], check=True)
    _run("npm install --no-audit --no-fund", folder / "app", cache)
    _run("npm run build", folder / "app", cache)
    taken = time.monotonic() - started
    shutil.rmtree(folder)
    return taken


def _deploy(platform: Platform, url: str, n: int) -> float:
    platform.project(f"app-{n}", url)
    started = time.monotonic()
    deployment = platform.deploy(f"app-{n}", force=True)
    with Client(platform.url, platform.token) as client:  # told, as people are; asking all the time would cost us
        assert list(follow(client, deployment["id"]))[-1] == "ready", platform.log_text(deployment["id"])
    assert platform.get(deployment["url"]).status == 200, platform.log_text(deployment["id"])
    return time.monotonic() - started


def _run(command: str, folder: Path, environment: dict[str, str]) -> None:
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True, env=os.environ | environment)


if __name__ == "__main__":
    main()
