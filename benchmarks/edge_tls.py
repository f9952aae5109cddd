"""https with HTTP/2, as users meet it: Caddy or nginx before the edge, beside nginx that does it all. No targets.

Needs `h2load` (Debian: `apt-get install nghttp2-client`) and `openssl`.
"""

import re
import statistics
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from benchmarks.edge_servers import Server, Tls, caddy_before, nginx, nginx_before
from benchmarks.edge_sites import SITE

PROGRAMS = ("h2load", "openssl")
PATHS = {"1KB": "/1k.bin", "12KB gzip": "/12k.html", "100KB": "/100k.bin"}
CLIENTS, STREAMS = 32, 4


@dataclass(frozen=True)
class Run:
    requests_s: float
    cpu_us: float


def certificate(folder: Path) -> Tls:
    """Self-signed: nobody checks it here."""
    tls = Tls(folder / "cert.pem", folder / "key.pem")
    argv = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
    ]
    argv += ["-subj", f"/CN={SITE}", "-keyout", str(tls.key), "-out", str(tls.certificate)]
    subprocess.run(argv, check=True, capture_output=True)
    return tls


def compare_tls(
    ours: Server, sites: Path, folder: Path, workers: Sequence[int], load: Sequence[int], *, seconds: float, rounds: int
) -> dict[str, object]:
    """Requests/s and processor time per request, of every process that it passes."""
    results: dict[str, object] = {}
    tls = certificate(folder)
    with ExitStack() as stack:
        places = [folder / name for name in ("tls-nginx", "tls-caddy", "tls-before")]
        for place in places:
            place.mkdir()
        alone = stack.enter_context(nginx(sites, places[0], workers, tls))
        caddy = stack.enter_context(caddy_before(ours, places[1], workers, tls))
        before = stack.enter_context(nginx_before(ours, places[2], workers, tls))
        servers = (caddy, before, alone)
        for name, path in PATHS.items():
            runs: dict[str, list[Run]] = {server.name: [] for server in servers}
            for _ in range(rounds):
                for server in servers:
                    runs[server.name].append(_h2load(server, path, load, seconds))
            results[f"https: {name}"] = found = {label: _median(some) for label, some in runs.items()}
            for label, run in found.items():
                print(f"https {name:<20}{label:<16}{run['requests_s']:>12,.0f}{run['cpu_us']:>27.1f}", file=sys.stderr)
    return results


def _median(runs: list[Run]) -> dict[str, float]:
    return {key: round(statistics.median(vars(run)[key] for run in runs), 1) for key in ("requests_s", "cpu_us")}


def _h2load(server: Server, path: str, cores: Sequence[int], seconds: float) -> Run:
    argv = ["taskset", "-c", ",".join(map(str, cores)), "h2load", f"-c{CLIENTS}", f"-m{STREAMS}", f"-D{seconds:.0f}"]
    argv += ["-H", "accept-encoding: gzip", f"--connect-to=127.0.0.1:{server.port}", f"https://{SITE}{path}"]
    cpu = server.cpu_s()
    out = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    cpu = server.cpu_s() - cpu
    rate, counts = re.search(r"([\d.]+) req/s", out), re.search(r"status codes: (\d+) 2xx, 0 3xx, 0 4xx, 0 5xx", out)
    if rate is None or counts is None or "Application protocol: h2" not in out:
        raise RuntimeError(f"{server.name} did not serve {path} over HTTP/2:\n{out}")
    return Run(float(rate[1]), cpu / max(int(counts[1]), 1) * 1e6)
