"""The edge beside nginx, Caddy, and Traefik before nginx: same files, same machine, same run, by turns; medians.

Twice: with one worker each, on the first core, wrk on the others; and with all cores each, which wrk shares.
`quiet` is false if the machine was busy with something else: then the ratios say little. With two cores or fewer, wrk
is as large a part of what is measured on all cores as the servers are.
Needs `nginx`, `wrk` and `h2load` (Debian: `apt-get install nginx-light wrk nghttp2-client`); without one it says so and
measures nothing.
"""

import argparse
import asyncio
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.edge_servers import Server, caddy, nginx, traefik
from benchmarks.edge_sites import ASSETS, HOSTS, SITE, scalemesh, write_sites
from benchmarks.edge_tls import PROGRAMS, compare_tls

PAGE = ["/12k.html", *ASSETS]
MEMORY_MB = 60
SCRIPT = """
local requests, at = {}, 0
function init(args)
  for line in io.lines("%s") do
    local host, path = line:match("(%%S+) (%%S+)")
    requests[#requests + 1] = wrk.format("GET", path, {["Host"] = host, ["Accept-Encoding"] = "gzip"})
  end
end
function request()
  at = at %% #requests + 1
  return requests[at]
end
"""


@dataclass(frozen=True)
class Case:
    """`over` names the least of our requests/s over a peer's; with `tail`, our p99 may be no worse than nginx's.
    `turns`: hosts and paths that are asked for by turns."""

    name: str
    path: str = ""
    headers: tuple[str, ...] = ()
    conditional: bool = False
    turns: tuple[str, ...] = ()
    over: tuple[tuple[str, float], ...] = ()
    tail: bool = False


SMALL = (("nginx", 1.0), ("caddy", 4.0), ("traefik→nginx", 4.0))
CASES = (
    Case("1KB", "/1k.bin", over=SMALL, tail=True),
    Case("12KB", "/12k.bin", over=SMALL, tail=True),
    Case("12KB gzip", "/12k.html", ("Accept-Encoding: gzip",), over=SMALL, tail=True),
    Case("304", "/12k.bin", conditional=True),
    Case("100KB", "/100k.bin", over=(("nginx", 0.9),)),
    Case("10MB", "/10m.bin", over=(("nginx", 0.8),)),
    Case("1KB, a connection each", "/1k.bin", ("Connection: close",)),
    Case("1000 hosts", turns=tuple(f"{host} /index.html" for host in HOSTS)),
    Case("page load", turns=tuple(f"{SITE} {path}" for path in PAGE)),
)


@dataclass(frozen=True)
class Run:
    requests_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


class Load:
    """wrk on `cores`, with as many threads."""

    def __init__(self, folder: Path, cores: Sequence[int], seconds: float) -> None:
        self._folder = folder
        self._prefix = ["taskset", "-c", ",".join(map(str, cores)), "wrk", f"-t{len(cores)}", "-c64", "--latency"]
        self._seconds = seconds

    def run(self, server: Server, case: Case) -> Run:
        self._wrk(server, case, max(self._seconds / 5, 1))
        cpu = server.cpu_s()
        out = self._wrk(server, case, self._seconds)
        cpu = server.cpu_s() - cpu
        if "Non-2xx" in out or "Socket errors" in out:
            raise RuntimeError(f"{server.name} did not serve {case.name}:\n{out}")
        count = int(_found(r"(\d+) requests in", out)[1])
        rate = float(_found(r"Requests/sec:\s+([\d.]+)", out)[1])
        return Run(rate, _quantile(out, "50%"), _quantile(out, "99%"), cpu / max(count, 1) * 1e6)

    def _wrk(self, server: Server, case: Case, seconds: float) -> str:
        url = f"http://127.0.0.1:{server.port}{case.path}"
        argv = [*self._prefix, f"-d{max(round(seconds), 1)}s", *self._options(server, case), url]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout

    def _options(self, server: Server, case: Case) -> list[str]:
        if case.turns:
            turns, script = self._folder / "turns", self._folder / "turns.lua"
            turns.write_text("\n".join(case.turns) + "\n")
            script.write_text(SCRIPT % turns)
            return ["-s", str(script)]
        tag = [f"If-None-Match: {_header(ask(server, case), 'etag')}"] if case.conditional else []
        return [part for header in (f"Host: {SITE}", *case.headers, *tag) for part in ("-H", header)]


def ask(server: Server, case: Case) -> str:
    """The head of the answer to one of the case's requests."""
    host, path = case.turns[0].split() if case.turns else (SITE, case.path)
    headers = ("Accept-Encoding: gzip",) if case.turns else case.headers
    lines = [f"HEAD {path} HTTP/1.1", f"Host: {host}", *headers, "Connection: close", "", ""]
    with socket.create_connection(("127.0.0.1", server.port), 5) as connection:
        connection.sendall("\r\n".join(lines).encode())
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def same_work(servers: Sequence[Server], case: Case) -> None:
    """Raises RuntimeError where the answers differ in what they carry."""
    answers = {server.name: ask(server, case) for server in servers}
    if len({(text.split()[1], _header(text, "content-length")) for text in answers.values()}) != 1:
        raise RuntimeError(f"{case.name}: the answers differ: {answers}")


def _header(answer: str, name: str) -> str:
    return _found(rf"(?im)^{name}: (.*?)\r$", answer)[1]


def _quantile(out: str, label: str) -> float:
    value, unit = _found(rf"{label}\s+([\d.]+)(us|ms|s)", out).groups()
    return float(value) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


def _found(pattern: str, text: str) -> re.Match[str]:
    found = re.search(pattern, text)
    if found is None:
        raise RuntimeError(f"{pattern} is not in:\n{text}")
    return found


def median(runs: list[Run]) -> Run:
    return Run(*(statistics.median(values) for values in zip(*(vars(run).values() for run in runs), strict=True)))


class Comparison:
    """One pass over the cases; `ratios` and `targets` are ours over each peer's requests/s."""

    def __init__(self, label: str, rounds: int) -> None:
        self._label = label
        self._rounds = rounds
        self.results: dict[str, object] = {}
        self.ratios: dict[str, float] = {}
        self.targets: dict[str, float] = {}

    def run(self, servers: Sequence[Server], cases: Sequence[Case], load: Load, *, targets: bool) -> None:
        print(
            f"{self._label:<26}{'server':<16}{'requests/s':>12}{'p50 ms':>9}{'p99 ms':>9}{'CPU µs':>9}", file=sys.stderr
        )
        for case in cases:
            same_work(servers, case)
            runs: dict[str, list[Run]] = {server.name: [] for server in servers}
            for _ in range(self._rounds):
                for server in servers:
                    runs[server.name].append(load.run(server, case))
            self._note(case, {name: median(found) for name, found in runs.items()}, targets=targets)
        memory = {s.name: {k.lower(): round(s.memory_mb(k), 1) for k in ("Rss", "Pss")} for s in servers}
        self.results[f"{self._label}: memory_mb"] = memory

    def _note(self, case: Case, best: dict[str, Run], *, targets: bool) -> None:
        key = f"{self._label}: {case.name}"
        self.results[key] = {name: {k: round(v, 3) for k, v in vars(run).items()} for name, run in best.items()}
        for name, run in best.items():
            numbers = f"{run.requests_s:>12,.0f}{run.p50_ms:>9.2f}{run.p99_ms:>9.2f}{run.cpu_us:>9.1f}"
            print(f"{case.name:<26}{name:<16}{numbers}", file=sys.stderr)
        ours = best.pop("scalemesh")
        for name, run in best.items():
            self.ratios[f"{key} / {name}"] = round(ours.requests_s / run.requests_s, 2)
        self.ratios[f"{key} p99: nginx / scalemesh"] = round(best["nginx"].p99_ms / ours.p99_ms, 2)
        if targets:
            self.targets |= {f"{key} / {name}": least for name, least in case.over}
            self.targets |= {f"{key} p99: nginx / scalemesh": 1.0} if case.tail else {}


async def compare(folder: Path, workers: list[int], wrk: list[int], options: argparse.Namespace) -> Comparison:
    """One pass, on servers of its own."""
    label = "one worker" if len(workers) == 1 else "all cores"
    comparison = Comparison(label, options.rounds)
    cases = [case for case in CASES if options.only in {None, case.name}]
    with ExitStack() as stack, tempfile.TemporaryDirectory(dir=folder) as temporary:
        places = {name: Path(temporary) / name for name in ("nginx", "caddy", "traefik", "ours")}
        for place in places.values():
            place.mkdir()
        Path(temporary).chmod(0o755)
        sites = folder / "sites"
        behind = stack.enter_context(nginx(sites, places["nginx"], workers))
        chain = stack.enter_context(traefik(behind, [SITE, *HOSTS], places["traefik"], workers))
        peers = [behind, stack.enter_context(caddy(sites, places["caddy"], workers)), chain]
        async with scalemesh(sites, places["ours"], len(workers)) as ours:
            for pid in ours.pids:
                os.sched_setaffinity(pid, workers)
            load = Load(Path(temporary), wrk, options.seconds)
            one = len(workers) == 1
            await asyncio.to_thread(comparison.run, [ours, *peers], cases, load, targets=one)
            if one:
                comparison.results["worker_rss_mb"] = round(ours.memory_mb("Rss"), 1)
                if options.only is None:
                    comparison.results |= await asyncio.to_thread(
                        compare_tls,
                        ours,
                        sites,
                        Path(temporary),
                        workers,
                        wrk,
                        seconds=options.seconds,
                        rounds=options.rounds,
                    )
    return comparison


async def bench(options: argparse.Namespace) -> dict[str, object]:
    cores, load = sorted(os.sched_getaffinity(0)), os.getloadavg()[0]
    quiet = load < len(cores) / 4
    if not quiet:
        print(f"The machine is busy (load {load:.1f}): do not quote these ratios.", file=sys.stderr)
    results: dict[str, object] = {"cores": len(cores), "load_before": round(load, 1), "quiet": quiet}
    ratios: dict[str, float] = {}
    targets: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="scalemesh-bench-") as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        write_sites(folder / "sites")
        passes = [(cores[:1], cores[1:] or cores), (cores, cores)]
        for workers, wrk in passes[: 2 if len(cores) > 1 else 1]:
            found = await compare(folder, workers, wrk, options)
            results |= found.results
            ratios |= found.ratios
            targets |= found.targets
    met = all(ratios[name] >= least for name, least in targets.items())
    met = met and float(str(results["worker_rss_mb"])) <= MEMORY_MB
    bounds = {**targets, "worker_rss_mb": MEMORY_MB}
    return {"bench": "edge", "results": results, "ratios": ratios, "targets": bounds, "met": met}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each case and server")
    parser.add_argument("--quick", action="store_true", help="one round of a second each: four minutes in all")
    parser.add_argument("--only", choices=[case.name for case in CASES])
    options = parser.parse_args()
    if options.quick:
        options.seconds, options.rounds = 1, 1
    if absent := [program for program in ("nginx", "wrk", "taskset", *PROGRAMS) if shutil.which(program) is None]:
        reason = (
            f"missing: {', '.join(absent)} (Debian: apt-get install nginx-light wrk nghttp2-client openssl util-linux)"
        )
        print(reason, file=sys.stderr)
        print(json.dumps({"bench": "edge", "results": {}, "ratios": {}, "targets": {}, "met": False, "why": reason}))
        sys.exit(1)
    print(json.dumps(asyncio.run(bench(options)), ensure_ascii=False))


if __name__ == "__main__":
    main()
