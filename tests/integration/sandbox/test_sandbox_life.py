"""Beginning and end: nothing outlives its step or its holder, nothing is ever root, results are exact."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.sandbox.conftest import StartMachine
from tests.integration.sandbox.sandbox_machines import Outcome, py, sh

Run = Callable[..., list[Outcome]]
# It waits until the child has left its process group: before that, the end of the step takes the child along.
LINGERER = "setsid sh -c 'touch there; exec sleep 300' >/dev/null 2>&1 & until [ -e there ]; do :; done; echo left"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives builds a uid of their own")


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137), ("nosuchprogram", 127)]
)
@pytest.mark.parametrize("mode", ["none", "bubblewrap"])
def test_exit_codes_arrive(mode: str, script: str, code: int, run_steps: Run) -> None:
    (outcome,) = run_steps(sh(script), mode=mode)
    assert (outcome.reason, outcome.exit_code) == ("exited", code)


@pytest.mark.parametrize("mode", ["none", "bubblewrap"])
def test_output_arrives_whole_and_apart(mode: str, run_steps: Run) -> None:
    (outcome,) = run_steps(sh("seq 100000; echo problem >&2"), mode=mode)
    assert outcome.stdout.split() == [str(n) for n in range(1, 100001)]
    assert outcome.stderr == "problem\n"


@pytest.mark.parametrize("mode", ["none", "bubblewrap"])
def test_steps_share_workspace_and_home(mode: str, run_steps: Run) -> None:
    _, read = run_steps(sh("echo 1 > a; echo 2 > ~/b; echo 3 > $TMPDIR/c"), sh("cat a ~/b $TMPDIR/c"), mode=mode)
    assert read.stdout.split() == ["1", "2", "3"]


def test_the_environment_is_what_the_step_says_and_on_no_command_line(run_steps: Run) -> None:
    script = "cat /proc/[0-9]*/cmdline | tr '\\0' ' '; echo; echo got $TOKEN; cat /proc/1/environ | wc -c"
    (outcome,) = run_steps(sh(script, env={"TOKEN": "canary-secret", "LD_PRELOAD": "/workspace/none.so"}))
    command_lines, got, first = outcome.stdout.strip().splitlines()
    assert got == "got canary-secret"
    assert "canary-secret" not in command_lines
    assert first.strip() == "0"


@pytest.mark.hostile
@as_root
def test_what_a_step_leaves_in_the_background_outlives_it_without_a_sandbox(start_machine: StartMachine) -> None:
    machine = start_machine(sh(LINGERER), mode="none")
    machine.finish()
    assert len(machine.processes()) == 1


@pytest.mark.hostile
@as_root
def test_what_a_step_leaves_in_the_background_dies_with_it(start_machine: StartMachine) -> None:
    machine = start_machine(sh(LINGERER), sh("echo second; sleep 60"))
    machine.wait_for("second")
    names = {Path(f"/proc/{pid}/cmdline").read_text().split("\0")[1] for pid in machine.processes()}
    assert "300" not in names


@pytest.mark.hostile
@as_root
def test_killing_the_holder_leaves_processes_without_a_sandbox(start_machine: StartMachine) -> None:
    machine = start_machine(sh("echo here; sleep 60"), mode="none")
    machine.wait_for("here")
    os.kill(machine.pid, signal.SIGKILL)
    machine.process.wait(10)
    assert machine.processes()


@pytest.mark.hostile
@as_root
def test_killing_the_holder_leaves_nothing(start_machine: StartMachine) -> None:
    machine = start_machine(sh("setsid sleep 60 & (trap '' TERM HUP; sleep 61) & echo here; sleep 62"))
    machine.wait_for("here")
    assert len(machine.processes()) > 4
    os.kill(machine.pid, signal.SIGKILL)
    machine.process.wait(10)
    assert machine.until_no_processes() == []
    assert str(machine.directory) not in Path("/proc/self/mountinfo").read_text()


def test_a_step_has_no_descriptor_but_its_own_three(run_steps: Run) -> None:
    script = "import os; print(sorted(os.listdir('/proc/self/fd'), key=int)[:-1], os.listdir('/proc/self/fd')[-1:])"
    (outcome,) = run_steps(py(script))
    assert outcome.stdout == "['0', '1', '2'] ['3']\n"


@pytest.mark.hostile
@pytest.mark.parametrize(("mode", "found"), [("none", "canary\n"), ("bubblewrap", "")])
def test_shared_memory_of_a_step_is_gone_after_it(mode: str, found: str, run_steps: Run) -> None:
    key = 0x5CA1E000 + os.getpid()
    leave = f"import ctypes; assert ctypes.CDLL(None).shmget({key}, 4096, 0o1666) >= 0"
    look = f"import ctypes; c = ctypes.CDLL(None); found = c.shmget({key}, 0, 0)"
    look += "\nif found >= 0: c.shmctl(found, 0, 0); print('canary')"
    left, after = run_steps(py(leave), py(look), mode=mode)
    assert left.ok
    assert after.stdout == found


def test_a_canceled_step_says_so_and_the_next_one_runs(run_steps: Run) -> None:
    canceled, after = run_steps(sh("sleep 60", cancel_after_s=0.3), sh("echo next"))
    assert canceled.reason == "canceled"
    assert after.stdout == "next\n"


def test_only_the_documented_files_are_in_etc(run_steps: Run) -> None:
    (outcome,) = run_steps(sh("ls /etc; ls /"))
    allowed = {"alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "passwd", "group", "hosts", "resolv.conf"}
    allowed |= {"nsswitch.conf", "services", "protocols", "os-release", "gitconfig", "ssl"}
    root = {"bin", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32", "proc", "run", "sbin", "tmp", "usr", "var"}
    assert set(outcome.stdout.split()) <= allowed | root | {"workspace"}


def test_nothing_but_the_mounts_can_be_written(run_steps: Run) -> None:
    (outcome,) = run_steps(
        sh("for d in / /dev /etc /usr /usr/bin /var /run /home /proc/sys; do touch $d/x 2>/dev/null && echo $d; done")
    )
    assert outcome.stdout == ""


def _root_pids(pids: list[int]) -> list[int]:
    found = []
    for pid in pids:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        if 0 in map(int, status.partition("Uid:")[2].split("\n")[0].split()):
            found.append(pid)
    return found


@pytest.mark.hostile
@as_root
def test_no_process_or_file_of_a_build_is_ever_root(start_machine: StartMachine) -> None:
    from scalemesh.sandbox.watch import descendants

    script = "i=0; while [ $i -lt 150 ]; do /bin/true; echo $i > file$i; mkdir -p d$i; i=$((i+1)); done; echo done"
    machine = start_machine(sh(script), sh(script), cgroup="test-uid")
    seen: set[int] = set()
    while machine.process.poll() is None:
        below = descendants(machine.pid)
        seen.update(below)
        assert _root_pids(below) == []
    assert all(o.stdout == "done\n" for o in machine.finish())
    assert len(seen) >= 6  # the program inside, its parent, bubblewrap twice, a shell a step
    owners = {path.lstat().st_uid for path in machine.directory.rglob("*")}
    assert owners == {machine.uid}


@as_root
def test_the_search_for_root_processes_finds_one() -> None:
    with subprocess.Popen(["sleep", "60"]) as root:
        assert _root_pids([root.pid]) == [root.pid]
        root.kill()


@as_root
def test_a_session_refuses_to_run_as_root(tmp_path: Path) -> None:
    script = "import asyncio, sys; from pathlib import Path; from scalemesh.sandbox.trial import _trial; "
    script += "sys.exit(asyncio.run(_trial(Path(sys.argv[1]))))"
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert "never run as root" in done.stderr


@as_root
def test_a_platform_that_is_not_root_has_sandboxes_too(tmp_path: Path) -> None:
    from scalemesh.sandbox.launcher import Launcher, make_private

    make_private(tmp_path / "home", 209_000)
    script = "import asyncio; from scalemesh.sandbox import probe; asyncio.run(probe.require()); print('isolated')"
    process = Launcher().spawn(
        [sys.executable, "-I", "-c", script],
        uid=209_000,
        cwd=tmp_path / "home",
        env={"PATH": os.environ["PATH"], "TMPDIR": str(tmp_path / "home")},
        expose=[tmp_path / "home"],
        stdout=subprocess.PIPE,
    )
    stdout, _ = process.communicate(timeout=30)
    assert stdout == b"isolated\n"


def test_a_step_can_compute(run_steps: Run) -> None:
    (outcome,) = run_steps(py("print(sum(range(10)))"))
    assert outcome.stdout == "45\n"
