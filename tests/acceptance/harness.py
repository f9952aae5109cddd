"""The installed `scalemesh`, started as an operator would start it, and hands to drive it from outside."""

import contextlib
import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import httpx
import psutil

T = TypeVar("T")
PASSWORD = secrets.token_urlsafe(16)
_TLS = httpx.create_ssl_context()  # made for each request otherwise: 40 ms that are no part of what is measured


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(look: Callable[[], T], *, within_s: float, what: str) -> T:
    """Polls `look` until it answers something true; fails with `what` at the deadline."""
    deadline = time.monotonic() + within_s
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s: {what}")
        time.sleep(0.05)
    return found


@dataclass
class Page:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Platform:
    """One `scalemesh up` over one data folder; `start` may be called again after `stop` or `kill`."""

    scalemesh: Path
    data: Path
    env: dict[str, str] = field(default_factory=dict)
    demo: bool = False
    api_port: int = field(default_factory=free_port)
    edge_port: int = field(default_factory=free_port)
    setup_token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    token: str = ""
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://localhost:{self.api_port}"

    @property
    def log(self) -> Path:
        return self.data.with_suffix(".log")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SCALEMESH_")}
        own = {
            "SCALEMESH_SETUP_TOKEN": self.setup_token,
            "SCALEMESH_GIT_ALLOW_PRIVATE": "1",
            "SCALEMESH_TOKEN": self.token,
            "XDG_CONFIG_HOME": str(self.data.parent / "config"),
        }
        return kept | own | {"SCALEMESH_URL": self.url} | self.env

    def start(self) -> Self:
        ports = ["--api-port", str(self.api_port), "--edge-port", str(self.edge_port)]
        argv: list[str | Path] = [
            self.scalemesh,
            "up",
            "--data-dir",
            self.data,
            *ports,
            *(["--demo"] if self.demo else []),
        ]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(argv, env=self.environment(), stdout=log, stderr=log)
        return self.start_is_ready()

    def start_is_ready(self) -> Self:
        eventually(self._is_ready, within_s=30, what=f"/readyz and the edge's port; {self.log} says why")
        return self

    def _is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-4000:]
        if not self.children("scalemesh.main.api"):  # what answers may be a killed supervisor's, and about to end
            return False
        try:
            return httpx.get(f"{self.url}/readyz", timeout=2, verify=_TLS).is_success and bool(
                self.get("nothing.localhost", "/")
            )
        except (httpx.HTTPError, OSError, http.client.HTTPException):
            return False

    def stop(self) -> float:
        """Ctrl-C; answers the seconds it took."""
        if self.process is None or self.process.poll() is not None:
            return 0.0
        started = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            for child in psutil.Process(self.process.pid).children(recursive=True):
                child.kill()
            self.process.kill()
            raise
        return time.monotonic() - started

    def children(self, module: str) -> list[psutil.Process]:
        """The platform's processes that run one module, such as `scalemesh.main.api`."""
        assert self.process is not None
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if any(module in part for part in child.cmdline()):
                    found.append(child)
        return found

    def api_process(self) -> psutil.Process:
        """The supervisor's own child that serves the API."""
        assert self.process is not None
        supervisor = self.process.pid
        (found,) = [child for child in self.children("scalemesh.main.api") if child.ppid() == supervisor]
        return found

    def set_up(self, team: str = "acme") -> Self:
        """The first administrator; keeps an API token."""
        body = {"token": self.setup_token, "email": "ada@example.org", "password": PASSWORD, "team": team}
        answer = httpx.post(f"{self.url}/v1/setup", json=body, timeout=30)
        assert answer.status_code == 201, answer.text
        self.token = answer.json()["token"]
        return self

    def api(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"} | options.pop("headers", {})
        return httpx.request(method, f"{self.url}/v1{path}", headers=headers, timeout=60, verify=_TLS, **options)

    def ok(self, method: str, path: str, **options: Any) -> Any:
        answer = self.api(method, path, **options)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def cli(self, *args: str | Path, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.scalemesh, *args],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def cli_json(self, *args: str | Path, timeout_s: float = 300) -> Any:
        done = self.cli(*args, "--json", timeout_s=timeout_s)
        assert done.returncode in {0, 1}, done.stderr
        return json.loads(done.stdout)

    def project(self, name: str, git_url: str, **fields: Any) -> Any:
        """In place of an earlier one of that name, of a test that is run again."""
        if self.api("GET", f"/projects/{name}").is_success:
            self.ok("DELETE", f"/projects/{name}")
        return self.ok("POST", "/projects", json={"name": name, "git_url": git_url} | fields)

    def deploy(self, project: str, **fields: Any) -> Any:
        return self.ok("POST", f"/projects/{project}/deployments", json={"target": "production"} | fields)

    def deployment(self, identifier: str) -> Any:
        return self.ok("GET", f"/deployments/{identifier}")

    def ended(self, identifier: str, within_s: float = 180) -> Any:
        def look() -> Any:
            found = self.deployment(identifier)
            return found if found["state"] in {"ready", "error", "canceled"} else None

        return eventually(look, within_s=within_s, what=f"{identifier} ends")

    def reaches(self, identifier: str, state: str, within_s: float = 60) -> Any:
        def look() -> Any:
            found = self.deployment(identifier)
            assert found["state"] == state or found["state"] not in {"ready", "error", "canceled"}, found
            return found if found["state"] == state else None

        return eventually(look, within_s=within_s, what=f"{identifier} is {state}")

    def log_lines(self, identifier: str) -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = []
        while page := self.ok("GET", f"/deployments/{identifier}/logs?after={lines[-1]['seq'] if lines else -1}")[
            "lines"
        ]:
            lines += page
        return lines

    def log_text(self, identifier: str) -> str:
        return "\n".join(line["text"] for line in self.log_lines(identifier))

    def get(self, url: str, path: str = "/", method: str = "GET", **headers: str) -> Page:
        """From the edge, by Host header: `*.localhost` does not resolve everywhere."""
        host = urlsplit(url).hostname or url
        connection = http.client.HTTPConnection("127.0.0.1", self.edge_port, timeout=20)
        try:
            connection.request(method, path, headers={"Host": f"{host}:{self.edge_port}"} | headers)
            answer = connection.getresponse()
            return Page(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()
