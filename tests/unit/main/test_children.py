"""What the supervisor knows of its children, and what it does to those that another one left behind."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scalemesh.dispatch.backends import processes
from scalemesh.main.children import Child, take_over


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


def record(run: Path, pid: int, **changes: object) -> Path:
    facts = {"pid": pid, "start_time": processes.start_time(pid), "boot_id": processes.boot_id()} | changes
    path = run / "api.json"
    path.write_text(json.dumps(facts))
    return path


def test_leftover_is_ended(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    path = record(tmp_path, sleeper.pid)
    assert take_over(tmp_path) == ["api"]
    assert sleeper.wait(5) == -signal.SIGKILL
    assert not path.exists()


@pytest.mark.parametrize("changes", [{"start_time": 1}, {"boot_id": "another"}])
def test_another_process_with_its_pid_is_left_alone(
    tmp_path: Path, sleeper: subprocess.Popen[bytes], changes: dict[str, object]
) -> None:
    record(tmp_path, sleeper.pid, **changes)
    assert take_over(tmp_path) == []
    assert sleeper.poll() is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "start_time": 1, "boot_id": ""}'])
def test_broken_record_is_dropped(tmp_path: Path, text: str) -> None:
    (tmp_path / "edge.json").write_text(text)
    assert take_over(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


class TestRestart:
    @pytest.fixture
    def child(self, tmp_path: Path) -> Child:
        return Child("no_such_module", [], tmp_path, dict(os.environ))

    def test_a_start_is_written_down_and_an_end_crossed_out(self, child: Child, tmp_path: Path) -> None:
        child.start()
        assert json.loads((tmp_path / "no_such_module.json").read_text()).keys() == {"pid", "start_time", "boot_id"}
        assert child.ended() == 1
        assert list(tmp_path.iterdir()) == []
        assert not child.is_running

    def test_each_quick_death_waits_longer(self, child: Child, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("time.monotonic", lambda: 100.0)
        pauses = []
        for _ in range(3):
            child.start()
            child.ended()
            pauses.append((child.restart_at or 0) - 100.0)
        assert pauses == sorted(set(pauses))
