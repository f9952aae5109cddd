"""The edge beside nginx: same files, same machine, same run, one worker each, by turns; medians of the rounds.

nginx is tuned as its manual advises for static files: sendfile, tcp_nopush, open_file_cache, gzip_static, a buffered
access log. Each server is pinned to the first core and wrk to the others, where the machine has more than one.
`quiet` is false if the machine was busy with something else: then the ratios say little.
Needs `nginx` and `wrk` (Debian: `apt-get install nginx-light wrk`); without one it says so and measures nothing.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from scalemesh.main.preview import serving

WARM_UP_S = 0.5
TEXT = "The quick brown fox jumps over the lazy dog, and <b>{}</b> of its friends watch from behind the fence.\n"
NGINX = """
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log warn; worker_rlimit_nofile 65536;
events {{ worker_connections 8192; }}
http {{
  types {{ text/html html; text/plain txt; application/octet-stream bin; }}
  access_log {folder}/access.log combined buffer=64k flush=5s;
  sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_requests 1000000000; etag on; server_tokens off;
  open_file_cache max=10000 inactive=60s; open_file_cache_valid 30s; gzip_static on;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{ listen 127.0.0.1:{port} backlog=4096; root {site}; location / {{ add_header Cache-Control "max-age=0"; }} }}
}}
"""


@dataclass(frozen=True)
class Case:
    name: str
    path: str
    headers: tuple[str, ...] = ()
    target: float | None = None  # requests/s over nginx's
    conditional: bool = False
    new_connections: bool = False


CASES = (
    Case("1KB", "/1k.bin", target=1.0),
    Case("12KB", "/12k.bin", target=1.0),
    Case("12KB text, gzip", "/12k.html", ("Accept-Encoding: gzip",), target=1.0),
    Case("304", "/12k.bin", conditional=True),
    Case("100KB", "/100k.bin", target=0.9),
    Case("10MB", "/10m.bin", target=0.8),
    Case("1KB, a connection each", "/1k.bin", ("Connection: close",), new_connections=True),
)


@dataclass(frozen=True)
class Server:
    name: str
    port: int
    pids: list[int]

    def cpu_s(self) -> float:
        stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self.pids]
        return sum(int(stat[11]) + int(stat[12]) for stat in stats) / os.sysconf("SC_CLK_TCK")

    def pss_mb(self) -> float:
        rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in self.pids]
        return sum(int(match[1]) for text in rollups if (match := re.search(r"Pss:\s+(\d+)", text))) / 1024


@dataclass(frozen=True)
class Run:
    requests_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


def write_site(folder: Path) -> None:
    noise = random.Random(1)
    for name, size in (("1k", 1024), ("12k", 12 * 1024), ("100k", 100 * 1024), ("10m", 10 * 1024**2)):
        (folder / f"{name}.bin").write_bytes(noise.randbytes(size))
    text = "".join(TEXT.format(noise.random()) for _ in range(110)).encode()
    (folder / "12k.html").write_bytes(text)
    subprocess.run(["gzip", "-6", "-k", folder / "12k.html"], check=True)


@contextlib.contextmanager
def nginx(site: Path, folder: Path) -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = folder / "nginx.conf"
    config.write_text(f"user {'root' if os.geteuid() == 0 else 'nobody'};" + NGINX.format(**locals()))
    process = subprocess.Popen(["nginx", "-c", config], stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port)
        worker = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        yield Server("nginx", port, [int(worker)])
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=10)


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def pin(server: Server) -> list[str]:
    """wrk's prefix. Threads that a process starts later inherit its cores."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2 or shutil.which("taskset") is None:
        return []
    for pid in server.pids:
        os.sched_setaffinity(pid, cores[:1])
    return ["taskset", "-c", ",".join(str(core) for core in cores[1:])]


def etag(server: Server, path: str) -> str:
    with socket.create_connection(("127.0.0.1", server.port), 5) as connection:
        connection.sendall(f"HEAD {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    found = re.search(r"(?i)^etag: (.*)\r$", answer, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"{server.name} sent no ETag for {path}: {answer}")
    return found[1]


def measure(server: Server, case: Case, seconds: float, prefix: list[str]) -> Run:
    headers = [*case.headers, *([f"If-None-Match: {etag(server, case.path)}"] if case.conditional else [])]
    url = f"http://127.0.0.1:{server.port}{case.path}"
    options = [part for header in headers for part in ("-H", header)]

    def wrk(duration_s: float) -> str:
        argv = [*prefix, "wrk", "-t1", "-c64", f"-d{duration_s:g}s", "--latency", *options, url]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout

    wrk(max(WARM_UP_S, 1))
    cpu = server.cpu_s()
    out = wrk(seconds)
    cpu = server.cpu_s() - cpu
    if "Non-2xx" in out and not case.conditional:
        raise RuntimeError(f"{server.name} did not serve {case.path}:\n{out}")
    count = int(re.search(r"(\d+) requests in", out)[1])  # type: ignore[index]
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])  # type: ignore[index]
    return Run(rate, quantile(out, "50%"), quantile(out, "99%"), cpu / max(count, 1) * 1e6)


def quantile(out: str, label: str) -> float:
    value, unit = re.search(rf"{label}\s+([\d.]+)(us|ms|s)", out).groups()  # type: ignore[union-attr]
    return float(value) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


def median(runs: list[Run]) -> Run:
    return Run(*(statistics.median(values) for values in zip(*(vars(run).values() for run in runs), strict=True)))


def missing() -> list[str]:
    return [program for program in ("nginx", "wrk") if shutil.which(program) is None]


async def bench(seconds: float, rounds: int, only: str | None) -> dict[str, object]:
    with tempfile.TemporaryDirectory(prefix="scalemesh-bench-") as temporary:
        site, folder = Path(temporary) / "site", Path(temporary) / "nginx"
        site.mkdir()
        folder.mkdir()
        Path(temporary).chmod(0o755)
        write_site(site)
        async with serving(site, 0) as (address, fleet):
            ours = Server("scalemesh", int(address.rpartition(":")[2]), [p.pid for p in fleet.processes.values()])
            with nginx(site, folder) as theirs:
                return await asyncio.to_thread(compare, ours, theirs, seconds, rounds, only)


def compare(ours: Server, theirs: Server, seconds: float, rounds: int, only: str | None) -> dict[str, object]:
    cores, load = os.cpu_count() or 1, os.getloadavg()[0]
    results: dict[str, object] = {"cores": cores, "load_before": round(load, 1), "quiet": load < cores / 4}
    if load >= cores / 4:
        print(f"The machine is busy (load {load:.1f}): do not quote these ratios.", file=sys.stderr)
    ratios, targets = {}, {}
    print(f"{'case':<24}{'server':<12}{'requests/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'CPU µs':>9}")
    for case in (case for case in CASES if only in {None, case.name}):
        runs: dict[str, list[Run]] = {ours.name: [], theirs.name: []}
        for _ in range(rounds):
            for server in (ours, theirs):
                runs[server.name].append(measure(server, case, seconds, pin(server)))
        best = {name: median(found) for name, found in runs.items()}
        for name, run in best.items():
            print(
                f"{case.name:<24}{name:<12}{run.requests_s:>12,.0f}{run.p50_ms:>9.2f}{run.p99_ms:>9.2f}{run.cpu_us:>9.1f}"
            )
        results[case.name] = {name: vars(run) for name, run in best.items()}
        ratios[case.name] = round(best[ours.name].requests_s / best[theirs.name].requests_s, 2)
        if case.target is not None:
            targets[case.name] = case.target
    results["worker_pss_mb"] = {server.name: round(server.pss_mb(), 1) for server in (ours, theirs)}
    met = all(ratios[name] >= target for name, target in targets.items())
    return {"bench": "edge", "results": results, "ratios": ratios, "targets": targets, "met": met}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each case and server")
    parser.add_argument("--only", choices=[case.name for case in CASES])
    options = parser.parse_args()
    if absent := missing():
        reason = f"missing: {', '.join(absent)} (Debian: apt-get install nginx-light wrk)"
        print(reason, file=sys.stderr)
        print(json.dumps({"bench": "edge", "results": {}, "ratios": {}, "targets": {}, "met": False, "why": reason}))
        sys.exit(1)
    print(json.dumps(asyncio.run(bench(options.seconds, options.rounds, options.only))))


if __name__ == "__main__":
    main()
