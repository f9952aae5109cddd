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
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  {servers}
}}
"""
NGINX_FILES = 'add_header Cache-Control "max-age=0"; index index.html;'
NGINX_BEFORE = """
upstream edge {{ server 127.0.0.1:{behind}; keepalive 64; keepalive_requests 1000000000; }}
server {{
  listen 127.0.0.1:{port} ssl http2 reuseport backlog=4096;
  ssl_certificate {tls.certificate}; ssl_certificate_key {tls.key};
  location / {{
    proxy_pass http://edge; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
  }}
}}
"""
CADDY_BEFORE = """
{{
  admin off
  auto_https off
  log {{
    level ERROR
  }}
}}
https://:{port} {{
  bind 127.0.0.1
  tls {tls.certificate} {tls.key}
  log {{
    output file {folder}/access.log
  }}
  reverse_proxy 127.0.0.1:{behind}
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


@dataclass(frozen=True)
class Tls:
    """Files in PEM."""

    certificate: Path
    key: Path


@contextlib.contextmanager
def nginx(sites: Path, folder: Path, cores: Sequence[int], tls: Tls | None = None) -> Iterator[Server]:
    """With `tls` it speaks https and HTTP/2."""
    port = _free_port()
    secure = "ssl http2" if tls else ""
    keys = f"ssl_certificate {tls.certificate}; ssl_certificate_key {tls.key};" if tls else ""
    servers = "\n".join(
        f"server {{ listen 127.0.0.1:{port} {secure} {'reuseport backlog=4096' if number == 0 else ''};"
        f" server_name {site.name}; root {site}; {keys} }}"
        for number, site in enumerate(sorted(sites.iterdir()))
    )
    with _nginx(f"{NGINX_FILES}\n{servers}", cores, port, folder) as pids:
        yield Server("nginx", port, pids)


@contextlib.contextmanager
def nginx_before(behind: Server, folder: Path, cores: Sequence[int], tls: Tls) -> Iterator[Server]:
    """What ends TLS and HTTP/2 in front of the edge."""
    port = _free_port()
    with _nginx(NGINX_BEFORE.format(port=port, tls=tls, behind=behind.port), cores, port, folder) as pids:
        yield Server(f"nginx→{behind.name}", port, [*pids, *behind.pids])


@contextlib.contextmanager
def _nginx(servers: str, cores: Sequence[int], port: int, folder: Path) -> Iterator[list[int]]:
    """Its workers."""
    user = "root" if os.geteuid() == 0 else "nobody"
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(user=user, workers=len(cores), folder=folder, servers=servers))
    with _running(["nginx", "-c", str(config)], cores, port) as pid:
        yield [int(worker) for worker in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextlib.contextmanager
def caddy(sites: Path, folder: Path, cores: Sequence[int]) -> Iterator[Server]:
    port = _free_port()
    config = folder / "Caddyfile"
    config.write_text(CADDY.format(port=port, sites=sites, folder=folder))
    with _running([_installed("caddy"), "run", "--config", str(config)], cores, port) as pid:
        yield Server("caddy", port, [pid])


@contextlib.contextmanager
def caddy_before(behind: Server, folder: Path, cores: Sequence[int], tls: Tls) -> Iterator[Server]:
    """The same in Caddy."""
    port = _free_port()
    config = folder / "Caddyfile"
    config.write_text(CADDY_BEFORE.format(port=port, tls=tls, behind=behind.port, folder=folder))
    with _running([_installed("caddy"), "run", "--config", str(config)], cores, port) as pid:
        yield Server(f"caddy→{behind.name}", port, [pid, *behind.pids])


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
