"""Control groups of version 2 on folders that look like them."""

from pathlib import Path

import pytest

from scalemesh.core.build import Limits
from scalemesh.sandbox import limits

GB = 1024**3
LIMITS = Limits(memory_bytes=2 * GB, cpus=1.5, processes=100)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The top of a version 2 hierarchy in which this process is in /user/app, where only /user is ours to fill."""
    for group, offered in (("", "cpu memory pids io"), ("user", "cpu memory pids"), ("user/app", "memory pids")):
        folder = tmp_path / group
        folder.mkdir(exist_ok=True)
        (folder / "cgroup.controllers").write_text(offered)
        (folder / "cgroup.subtree_control").write_text("")
        (folder / "cgroup.procs").write_text("1\n" if group == "user/app" else "")
    monkeypatch.setattr(limits, "_own_groups", lambda: "0::/user/app\n")
    return tmp_path


def test_the_group_is_made_in_the_nearest_place_that_can_hold_it(root: Path) -> None:
    group = limits.Cgroup.create("att_1", LIMITS, root)
    assert group == limits.Cgroup(2, (root / "user/scalemesh-att_1",))
    assert (root / "user/cgroup.subtree_control").read_text() == "+memory +pids +cpu"


def test_the_limits_are_written(root: Path) -> None:
    group = limits.Cgroup.create("att_1", LIMITS, root)
    assert group
    (path,) = group.paths
    assert (path / "memory.max").read_text() == str(2 * GB)
    assert (path / "pids.max").read_text() == str(100 + limits.OVERHEAD_PROCESSES)
    assert (path / "cpu.max").read_text() == "150000 100000"


def test_without_a_place_there_is_none(root: Path) -> None:
    for group in ("", "user"):
        (root / group / "cgroup.controllers").write_text("io")
    assert limits.Cgroup.create("att_1", LIMITS, root) is None


@pytest.mark.parametrize(
    ("name", "text", "kills"),
    [
        ("memory.events", "low 0\nhigh 0\nmax 3\noom 2\noom_kill 2\n", 2),
        ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", 1),
        ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\n", 0),
    ],
)
def test_kills_for_memory_are_counted(name: str, text: str, kills: int, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    assert limits.Cgroup(2, (tmp_path,)).oom_kills() == kills


def test_refused_and_most_processes_are_read(root: Path) -> None:
    for name, text in {"events": "max 3\n", "current": "7\n", "max": f"{100 + limits.OVERHEAD_PROCESSES}\n"}.items():
        (root / f"user/app/pids.{name}").write_text(text)
    group = limits.own_processes(root)
    assert group
    assert (group.refused(), group.count(), group.most(), group.is_of(LIMITS)) == (3, 7, 7, True)
    (root / "user/app/pids.peak").write_text("9\n")
    (root / "user/app/pids.max").write_text("max\n")
    assert (group.most(), group.is_of(LIMITS)) == (9, False)


def test_a_group_that_is_gone_is_empty_and_removed(tmp_path: Path) -> None:
    group = limits.Cgroup(1, (tmp_path / "gone",))
    assert group.processes() == set()
    group.kill()
    group.remove()


def test_the_handle_finds_it_again(tmp_path: Path) -> None:
    group = limits.Cgroup(1, (tmp_path / "memory/x", tmp_path / "pids/x"))
    assert limits.Cgroup.from_handle(group.handle()) == group
