"""The supervisor with its real children."""

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.integration.main.conftest import START_S, Up, eventually


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


def test_hangup_starts_the_edge_anew(up: Up) -> None:
    """The same keeper, which runs what is installed now, with new workers; everybody is answered meanwhile."""
    up.start().ready()
    edge, (worker,) = up.pid("edge"), up.children("edge")
    assert up.process
    up.process.send_signal(signal.SIGHUP)
    eventually(lambda: up.children("edge") not in ([], [worker]), "a new worker")
    assert up.answers(up.edge_port, "/") > 0
    eventually(lambda: worker not in up.children("edge"), "the old worker is gone")
    assert up.pid("edge") == edge
    assert up.stop() == 0


def test_hangup_of_its_terminal_ends_it(up: Up) -> None:
    terminal, up.stdin = os.openpty()
    up.start().ready()
    os.close(up.stdin)
    assert up.stop(signal.SIGHUP) == 0
    os.close(terminal)
