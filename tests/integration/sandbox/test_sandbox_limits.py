"""Limits of a step: each is hit, is told apart, and is shown not to be hit by the same step with room enough."""

import os
import time
from collections.abc import Callable

import pytest

from scalemesh.sandbox import limits as cgroups
from tests.integration.sandbox.conftest import StartMachine
from tests.integration.sandbox.sandbox_machines import Outcome, py, sh

pytestmark = pytest.mark.hostile

Run = Callable[..., list[Outcome]]
MB = 1024**2
HOG = f"data = [bytes([1]) * {MB} for _ in range(300)]; print('held'); import time; time.sleep(3)"
FORK = """
import os, time
children = 0
try:
    for _ in range(200):
        if os.fork() == 0:
            time.sleep(30)
            os._exit(0)
        children += 1
except BlockingIOError:
    pass
print(children, flush=True)
os.killpg(0, 9)
"""
FILL = f"open('big', 'wb').write(bytes({100 * MB})); import time; time.sleep(4); print('kept')"
HIDDEN = f"""
import os, time
file = open('big', 'wb'); os.unlink('big')
file.write(bytes({100 * MB})); file.flush(); time.sleep(4); print('kept')
"""
LOCKED = f"""
import os, time
os.mkdir('closed')
open('closed/big', 'wb').write(bytes({100 * MB})); os.chmod('closed', 0)
time.sleep(4); print('kept')
"""


@pytest.mark.skipif(cgroups.available() is None, reason="no control groups here")
def test_a_memory_hog_is_killed_by_its_group_and_told_apart(run_steps: Run) -> None:
    (outcome,) = run_steps(py(HOG), limits={"memory_bytes": 128 * MB}, cgroup="test-memory")
    assert (outcome.reason, outcome.stdout) == ("memory", "")


def test_a_memory_hog_without_a_group_is_killed_by_the_watch(run_steps: Run) -> None:
    (outcome,) = run_steps(py(HOG), limits={"memory_bytes": 128 * MB})
    assert outcome.reason == "memory"


def test_memory_without_a_group_is_watched_where_it_is_shared_too(run_steps: Run) -> None:
    script = f"import mmap, time; m = mmap.mmap(-1, {300 * MB}); [m.write(bytes({MB})) for _ in range(300)]; "
    script += "time.sleep(4); print('held')"
    (outcome,) = run_steps(py(script), limits={"memory_bytes": 1024 * MB})
    assert outcome.stdout == "held\n"
    (outcome,) = run_steps(py(script), limits={"memory_bytes": 128 * MB})
    assert (outcome.reason, outcome.stdout) == ("memory", "")


def test_enough_memory_is_enough(run_steps: Run) -> None:
    (outcome,) = run_steps(py(HOG), limits={"memory_bytes": 1024 * MB})
    assert (outcome.reason, outcome.stdout) == ("exited", "held\n")


def test_processes_are_limited(run_steps: Run) -> None:
    (outcome,) = run_steps(py(FORK), limits={"processes": 40})
    assert int(outcome.stdout) < 40


@pytest.mark.skipif(cgroups.available() is None, reason="no control groups here")
def test_a_step_that_has_had_all_processes_is_told_apart_whatever_it_answers(run_steps: Run) -> None:
    few, all_of_them = run_steps(
        sh("for i in 1 2 3 4 5; do sleep 0.1 & done; wait"),
        py(FORK.replace("os.killpg(0, 9)", "os._exit(0)")),
        limits={"processes": 60},
        cgroup="test-processes",
    )
    assert (few.reason, few.exit_code) == ("exited", 0)
    assert all_of_them.reason == "processes"


def test_enough_processes_are_enough(run_steps: Run) -> None:
    (outcome,) = run_steps(py(FORK))
    assert int(outcome.stdout) == 200


def test_a_fork_bomb_ends_with_its_step(start_machine: StartMachine) -> None:
    machine = start_machine(sh("b() { b | b & }; b; sleep 60", timeout_s=3), limits={"processes": 200})
    (outcome,) = machine.finish()
    assert outcome.reason in {"timeout", "exited"}
    assert machine.until_no_processes() == []


@pytest.mark.parametrize("script", [FILL, HIDDEN, LOCKED], ids=["plain", "deleted but open", "in a closed folder"])
def test_disk_is_limited(script: str, run_steps: Run) -> None:
    (outcome,) = run_steps(py(script), limits={"disk_bytes": 50 * MB})
    assert (outcome.reason, outcome.stdout) == ("disk", "")


@pytest.mark.parametrize("script", [FILL, HIDDEN, LOCKED], ids=["plain", "deleted but open", "in a closed folder"])
def test_enough_disk_is_enough(script: str, run_steps: Run) -> None:
    (outcome,) = run_steps(py(script), limits={"disk_bytes": 1000 * MB})
    assert (outcome.reason, outcome.stdout) == ("exited", "kept\n")


def test_open_files_are_limited(run_steps: Run) -> None:
    script = "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE))"
    (outcome,) = run_steps(py(script), limits={"open_files": 77})
    assert outcome.stdout == "(77, 77)\n"


def test_a_step_ends_at_its_deadline(run_steps: Run) -> None:
    (outcome,) = run_steps(sh("echo on; sleep 60", timeout_s=0.5))
    assert (outcome.reason, outcome.stdout) == ("timeout", "on\n")
    assert outcome.duration_ms < 5000


@pytest.mark.skipif(cgroups.available() is None, reason="no control groups here")
def test_a_group_kills_and_removes_whatever_is_in_it() -> None:
    from scalemesh.core.build import Limits

    group = cgroups.Cgroup.create("test-kill", Limits())
    assert group
    pid = os.fork()
    if pid == 0:
        for path in group.procs_paths:
            path.write_text("0")
        time.sleep(60)
        os._exit(0)
    try:
        while not group.processes():
            os.sched_yield()
        assert cgroups.Cgroup.from_handle(group.handle()) == group
        assert group.paths[0].name in {g.paths[0].name for g in cgroups.existing()}
    finally:
        group.kill()
        os.waitpid(pid, 0)
        group.remove()
    assert not any(path.exists() for path in group.paths)
    group.remove()
