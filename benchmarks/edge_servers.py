"""The peers of the edge benchmark, each tuned as its manual advises for static files, with its access log on.

`cores` are those that a server may use: as many workers, or as much of GOMAXPROCS.
"""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

NGINX = """
user {user}; worker_processes {workers}; daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log warn;
worker_rlimit_nofile 65536;
events {{ worker_connections 8192; }}
http {{
  types {{ text/html html; text/javascript js; text/css css; application/octet-stream bin; }}
  access_log {folder}/access.log combined buffer=64k flush=5s;
  sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_requests 1000000000; etag on; server_tokens off;
  open_file_cache max=10000 inactive=60s; open_file_cache_valid 30s; gzip_static on;
  server_names_hash_bucket_size 128; server_names_hash_max_size 4096;
  add_header Cache-Control "max-age=0"; index index.html;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  {servers}
}}
"""
CADDY = """
{{
  admin off
  auto_https off
  log {{
    level ERROR
  }}
}}
http://:{port} {{
  bind 127.0.0.1
  root * {sites}/{{host}}
  header Cache-Control "max-age=0"
  log {{
    output file {folder}/access.log
  }}
  file_server {{
    precompressed gzip
  }}
}}
"""


@dataclass(frozen=True)
class Server:
    """`pids` are all that work on a request."""

    name: str
    port: int
    pids: list[int]

    def cpu_s(self) -> float:
        stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in self.pids]
        return sum(int(stat[11]) + int(stat[12]) for stat in stats) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self, kind: str = "Pss") -> float:
        rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in self.pids]
        return sum(int(found[1]) for text in rollups if (found := re.search(rf"{kind}:\s+(\d+)", text))) / 1024


@contextlib.contextmanager
def nginx(sites: Path, folder: Path, cores: Sequence[int]) -> Iterator[Server]:
    port = _free_port()
    servers = "\n".join(
        f"server {{ listen 127.0.0.1:{port} {'reuseport backlog=4096' if number == 0 else ''};"
        f" server_name {site.name}; root {site}; }}"
        for number, site in enumerate(sorted(sites.iterdir()))
    )
    user = "root" if os.geteuid() == 0 else "nobody"
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(user=user, workers=len(cores), folder=folder, servers=servers))
    with _running(["nginx", "-c", str(config)], cores, port) as pid:
        workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        yield Server("nginx", port, [int(worker) for worker in workers])


@contextlib.contextmanager
def caddy(sites: Path, folder: Path, cores: Sequence[int]) -> Iterator[Server]:
    port = _free_port()
    config = folder / "Caddyfile"
    config.write_text(CADDY.format(port=port, sites=sites, folder=folder))
    with _running([_installed("caddy"), "run", "--config", str(config)], cores, port) as pid:
        yield Server("caddy", port, [pid])


@contextlib.contextmanager
def traefik(behind: Server, hosts: Sequence[str], folder: Path, cores: Sequence[int]) -> Iterator[Server]:
    """The chain of the usual self-hosted platforms: a router for each site, and nginx behind."""
    port = _free_port()
    routers = {
        f"r{number}": {"rule": f"Host(`{host}`)", "service": "nginx", "entryPoints": ["web"]}
        for number, host in enumerate(hosts)
    }
    services = {"nginx": {"loadBalancer": {"servers": [{"url": f"http://127.0.0.1:{behind.port}"}]}}}
    dynamic = folder / "dynamic.yml"
    dynamic.write_text(json.dumps({"http": {"routers": routers, "services": services}}))  # which is YAML, too
    argv = [
        _installed("traefik"),
        f"--entryPoints.web.address=127.0.0.1:{port}",
        f"--providers.file.filename={dynamic}",
        "--accesslog=true",
        f"--accesslog.filepath={folder}/access.log",
        "--accesslog.bufferingsize=1000",
        "--log.level=ERROR",
        "--global.checknewversion=false",
        "--global.sendanonymoususage=false",
    ]
    with _running(argv, cores, port) as pid:
        yield Server("traefik→nginx", port, [pid, *behind.pids])


@contextlib.contextmanager
def _running(argv: list[str], cores: Sequence[int], port: int) -> Iterator[int]:
    """Every thread keeps to `cores` from its start."""
    pinned = ["taskset", "-c", ",".join(map(str, cores)), *argv]
    environ = os.environ | {"GOMAXPROCS": str(len(cores))}
    process = subprocess.Popen(pinned, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, process)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=20)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            if time.monotonic() > deadline or process.poll() is not None:
                raise
            time.sleep(0.05)
        else:
            return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _installed(program: str) -> str:
    """From a wheel of the group `bench-edge`."""
    return str(Path(sys.executable).with_name(program))
