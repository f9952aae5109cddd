"""Steps in a container beside the agent: a PID namespace of its own stands in for one, with nothing but the folder."""

import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from scalemesh.core.build import Limits
from scalemesh.errors import InfrastructureFault
from scalemesh.sandbox import bubblewrap
from scalemesh.sandbox.session import RUNNER_SOCKET, Session
from scalemesh.sandbox.step import StepCommand, StepResult

PROGRAM = "scalemesh.sandbox.inside.container"
Container = Callable[[Path], "subprocess.Popen[bytes]"]


@pytest.fixture
def container() -> Iterator[Container]:
    """Starts the program as process 1; it sees the machine's files, and its own processes alone."""
    started: list[subprocess.Popen[bytes]] = []

    def start(directory: Path) -> "subprocess.Popen[bytes]":
        found = bubblewrap.find()
        assert found, "bubblewrap is missing"
        inside = [sys.executable, "-I", "-m", PROGRAM, str(directory / RUNNER_SOCKET)]
        outside = [
            str(found.path),
            "--bind",
            "/",
            "/",
            "--dev",
            "/dev",
            "--cap-drop",
            "ALL",
            "--unshare-pid",
            "--proc",
            "/proc",
        ]
        started.append(subprocess.Popen([*outside, "--as-pid-1", "--die-with-parent", *inside]))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait(10)


@pytest.fixture
async def session(tmp_path: Path, container: Container) -> AsyncIterator[Session]:
    container(tmp_path)
    async with Session(tmp_path, limits=Limits(), mode="container") as session:
        yield session


async def run(session: Session, script: str, **options: object) -> tuple[StepResult, bytes]:
    shown = bytearray()

    async def on_output(_stream: str, data: bytes) -> None:
        shown.extend(data)

    step = StepCommand(("sh", "-c", script), cwd=session.view(session.workspace), timeout_s=60, **options)  # type: ignore[arg-type]
    return await session.run(step, on_output), bytes(shown)


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137)])
async def test_exit_codes_arrive_from_the_container(session: Session, script: str, code: int) -> None:
    assert (await run(session, script))[0].exit_code == code


async def test_output_arrives_whole_from_the_container(session: Session) -> None:
    _, shown = await run(session, "seq 100000")
    assert shown.split() == [b"%d" % n for n in range(1, 100001)]


async def test_the_folder_is_shared_and_the_environment_given(session: Session) -> None:
    await run(session, 'printf %s "$TOKEN" > answer', env={"TOKEN": "a\nb=$c"})
    assert (session.workspace / "answer").read_text() == "a\nb=$c"


async def test_nothing_outlives_its_step_in_the_container(session: Session) -> None:
    await run(session, "setsid sh -c 'touch there; exec sleep 300' & until [ -e there ]; do :; done")
    _, shown = await run(session, "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline; echo; done")
    assert PROGRAM.encode() in shown
    assert b"sleep 300" not in shown


async def test_a_step_can_be_cancelled_in_the_container(session: Session) -> None:
    async def on_output(_stream: str, _data: bytes) -> None:
        await session.cancel()

    step = StepCommand(("sh", "-c", "echo here; sleep 300"), cwd=session.view(session.workspace), timeout_s=60)
    assert (await session.run(step, on_output)).reason == "canceled"


async def test_what_cannot_be_started_is_said(session: Session) -> None:
    with pytest.raises(InfrastructureFault, match="could not be started"):
        await session.run(StepCommand(("/no/such",), cwd="/", timeout_s=60), None)  # type: ignore[arg-type]


async def test_a_step_cannot_reach_the_programs_memory(session: Session) -> None:
    result, shown = await run(session, "cat /proc/1/environ && cat /proc/1/mem")
    assert not result.ok
    assert b"ermission denied" in shown


async def test_the_container_ends_with_its_session(tmp_path: Path, container: Container) -> None:
    process = container(tmp_path)
    async with Session(tmp_path, limits=Limits(), mode="container") as session:
        await run(session, "true")
    assert process.wait(20) == 0


async def test_the_container_ends_when_the_agent_dies(tmp_path: Path, container: Container) -> None:
    process = container(tmp_path)
    agent = "import asyncio, sys; from pathlib import Path; from scalemesh.sandbox.session import Session"
    agent += (
        "; from scalemesh.core.build import Limits; s = Session(Path(sys.argv[1]), limits=Limits(), mode='container')"
    )
    agent += "; asyncio.run(s.__aenter__()); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", agent, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"open\n"
        holder.kill()
    assert process.wait(20) == 0


async def test_a_container_that_dies_is_said(tmp_path: Path, container: Container) -> None:
    process = container(tmp_path)

    async def on_output(_stream: str, _data: bytes) -> None:
        process.kill()

    async with Session(tmp_path, limits=Limits(), mode="container") as session:
        step = StepCommand(("sh", "-c", "echo here; sleep 300"), cwd="/", timeout_s=60)
        with pytest.raises(InfrastructureFault):
            await session.run(step, on_output)


def test_the_program_refuses_to_share_its_processes(tmp_path: Path) -> None:
    argv = [sys.executable, "-I", "-m", PROGRAM, str(tmp_path / "socket")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, "process 1" in done.stderr) == (1, True)
