"""Proportional set size of the idle platform (one edge worker), and its processor time over ten idle seconds."""

import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.report import report
from tests.acceptance.harness import Platform

TARGET_MB = 180
IDLE_S = 10


def main() -> None:
    scalemesh = Path(sys.executable).with_name("scalemesh")
    with tempfile.TemporaryDirectory() as folder, Platform(scalemesh, Path(folder) / "data") as platform:
        platform.set_up()
        assert platform.process
        root = psutil.Process(platform.process.pid)
        processes = [root, *root.children(recursive=True)]
        time.sleep(2)
        before = [sum(p.cpu_times()[:2]) for p in processes]
        time.sleep(IDLE_S)
        used = sum(sum(p.cpu_times()[:2]) for p in processes) - sum(before)
        sizes = {_name(p): p.memory_full_info().pss / 2**20 for p in processes}
    for name, size in sizes.items():
        print(f"{size:7.1f} MB  {name}")
    total = round(sum(sizes.values()), 1)
    results = {"pss_mb": total, "processes": len(sizes), "idle_cpu_percent": round(100 * used / IDLE_S, 2)}
    report("idle", results, {}, {"pss_mb": TARGET_MB})


def _name(process: psutil.Process) -> str:
    return f"{process.pid} {' '.join(process.cmdline())[-60:]}"


if __name__ == "__main__":
    main()
