"""`scalemesh up`, second start over the same data, to the first byte of an existing site. Median of five."""

import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import report
from tests.acceptance.harness import Platform
from tests.acceptance.repositories import Repositories

TARGET_S = 3.0
ROUNDS = 5


def main() -> None:
    scalemesh = Path(sys.executable).with_name("scalemesh")
    with tempfile.TemporaryDirectory() as folder, Repositories(Path(folder) / "git") as git:
        git.create("site", {"index.html": "here"})
        with Platform(scalemesh, Path(folder) / "data") as platform:
            platform.set_up().project("site", git.url("site"))
            site = platform.ended(platform.deploy("site")["id"])["url"]
        times = [_start(platform, site) for _ in range(ROUNDS)]
    results = {"first_byte_s": round(statistics.median(times), 2), "all_s": [round(t, 2) for t in times]}
    report("start", results, {}, {"first_byte_s": TARGET_S})


def _start(platform: Platform, site: str) -> float:
    import subprocess

    ports = ["--api-port", str(platform.api_port), "--edge-port", str(platform.edge_port)]
    argv: list[str | Path] = [platform.scalemesh, "up", "--data-dir", platform.data, *ports]
    started = time.monotonic()
    with platform.log.open("ab") as log:
        platform.process = subprocess.Popen(argv, env=platform.environment(), stdout=log, stderr=log)
    while time.monotonic() - started < 60:
        try:
            if platform.get(site).body == b"here":
                taken = time.monotonic() - started
                platform.start_is_ready()
                platform.stop()
                return taken
        except OSError:
            pass  # not listening yet
        time.sleep(0.005)
    raise TimeoutError("the site did not come back within 60 s")


if __name__ == "__main__":
    main()
