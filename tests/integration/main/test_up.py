"""The supervisor with its real children."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

START_S = 30


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(look: Callable[[], bool], what: str, within_s: float = START_S) -> None:
    deadline = time.monotonic() + within_s
    while not look():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what}"
        time.sleep(0.02)


@dataclass
class Up:
    data: Path
    env: dict[str, str] = field(default_factory=dict)
    api_port: int = field(default_factory=free_port)
    edge_port: int = field(default_factory=free_port)
    process: subprocess.Popen[str] | None = None

    def start(self) -> "Up":
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SCALEMESH_")}
        log = self.data.with_suffix(".log").open("a")
        self.process = subprocess.Popen(self.argv(), env=kept | self.env, stdout=log, stderr=log, text=True)
        log.close()
        return self

    def argv(self) -> list[str]:
        ports = [f"--api-port={self.api_port}", f"--edge-port={self.edge_port}"]
        return [sys.executable, "-m", "scalemesh.main.up", f"--data-dir={self.data}", *ports]

    def refused(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.argv(), capture_output=True, text=True, timeout=START_S, check=False)

    def answers(self, port: int, path: str) -> int:
        """The status; 0 while nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    def ready(self) -> "Up":
        eventually(lambda: self.answers(self.api_port, "/readyz") == 200, f"the API: {self.log()}")
        eventually(lambda: self.answers(self.edge_port, "/") > 0, f"the edge: {self.log()}")
        return self

    def log(self) -> str:
        return self.data.with_suffix(".log").read_text()

    def pid(self, child: str) -> int:
        return int(json.loads((self.data / "run" / f"{child}.json").read_text())["pid"])

    def stop(self) -> int:
        assert self.process
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(10)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    made = Up(tmp_path / "data")
    yield made
    if made.process and made.process.poll() is None:
        made.stop()


def test_whole_life(up: Up) -> None:
    """Starts, prints the link, stops within its time, and starts again over the same data."""
    up.start().ready()
    eventually(lambda: "/setup?token=sms_" in up.log(), "the banner")
    assert oct((up.data / "edge.token").stat().st_mode & 0o777) == oct(0o600)
    assert oct((up.data / "secret.key").stat().st_mode & 0o777) == oct(0o600)
    assert oct((up.data / "scalemesh.db").stat().st_mode & 0o077) == oct(0)
    started = time.monotonic()
    assert up.stop() == 0
    assert time.monotonic() - started < 5
    assert not list((up.data / "run").glob("*.json"))
    assert up.answers(up.edge_port, "/") == 0
    up.start().ready()


def test_api_death_is_mended_and_nobody_is_turned_away(up: Up) -> None:
    """While the API is away connections wait; the edge does not notice."""
    up.start().ready()
    api, edge = up.pid("api"), up.pid("edge")
    os.kill(api, signal.SIGKILL)
    assert up.answers(up.api_port, "/readyz") == 200
    assert up.answers(up.edge_port, "/") > 0
    assert (up.pid("api") != api, up.pid("edge")) == (True, edge)
    assert "the api process ended (SIGKILL)" in up.log()


def test_killed_supervisor_is_succeeded(up: Up) -> None:
    """What it left goes on serving, and is ended by the next one, which holds the same ports."""
    up.start().ready()
    left = {up.pid("api"), up.pid("edge")}
    assert up.process
    up.process.kill()
    up.process.wait(5)
    assert up.answers(up.edge_port, "/") > 0
    up.start().ready()
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left), "leftovers are gone")
    assert up.stop() == 0
    assert up.answers(up.edge_port, "/") == 0


@pytest.mark.parametrize(
    ("port", "setting"), [("api_port", "SCALEMESH_API_PORT"), ("edge_port", "SCALEMESH_EDGE_PORT")]
)
def test_taken_port_names_the_setting(up: Up, port: str, setting: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", getattr(up, port)))
        taken.listen()
        done = up.refused()
    assert (done.returncode, done.stdout) == (2, "")
    assert setting in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_one_supervisor_per_folder(up: Up) -> None:
    up.start().ready()
    done = Up(up.data).refused()
    assert (done.returncode, "SCALEMESH_DATA_DIR" in done.stderr) == (2, True)


def test_wrong_setting_of_a_child_ends_it_all(up: Up) -> None:
    """Starting again would not help: the reason is said once, and the exit code is that of bad settings."""
    up.env["SCALEMESH_LOG_BUS_URL"] = "carrier-pigeon://"
    up.start()
    assert up.process
    assert up.process.wait(START_S) == 2
    assert "SCALEMESH_LOG_BUS_URL" in up.log()
