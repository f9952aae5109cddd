"""From asking for a promotion to the first byte of what was promoted, at the edge of the same machine: p50 and p99."""

import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import report
from tests.acceptance.harness import Platform
from tests.acceptance.repositories import Repositories

TARGET_MS = 100.0
ROUNDS = 200


def main() -> None:
    scalemesh = Path(sys.executable).with_name("scalemesh")
    with tempfile.TemporaryDirectory() as folder, Repositories(Path(folder) / "git") as git:
        url = git.create("site", {"index.html": "0"})
        with Platform(scalemesh, Path(folder) / "data") as platform:
            platform.set_up().project("site", url)
            deployments = [platform.ended(platform.deploy("site")["id"])]
            git.commit("site", {"index.html": "1"})
            deployments.append(platform.ended(platform.deploy("site")["id"]))
            times = sorted(_promote(platform, deployments, number % 2) for number in range(ROUNDS))
    results = {"p50_ms": round(statistics.median(times), 1), "p99_ms": round(times[int(len(times) * 0.99)], 1)}
    report("activation", results, {}, {"p99_ms": TARGET_MS})


def _promote(platform: Platform, deployments: list[dict[str, str]], which: int) -> float:
    started = time.monotonic()
    platform.ok("POST", f"/deployments/{deployments[which]['id']}/promote")
    while platform.get(deployments[0]["aliases"][0]).body != b"%d" % which:
        if time.monotonic() - started > 10:
            raise TimeoutError("what was promoted is not served")
    return (time.monotonic() - started) * 1000


if __name__ == "__main__":
    main()
