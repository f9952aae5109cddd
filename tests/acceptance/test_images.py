"""The images' entry points, in root filesystems as deploy/images/Dockerfile makes them: where no engine runs, too."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from scalemesh.buildserver.control.memory import MemoryControl
from scalemesh.core.build import BuildSettings, Claim
from scalemesh.dispatch.backends.base import Backend, Handle, Launch
from scalemesh.dispatch.backends.docker import UID, DockerBackend, DockerSettings
from scalemesh.main.platform import environ_of_programs
from scalemesh.sandbox import bubblewrap
from scalemesh.testing.backend_contract import BackendContract, new_launch
from scalemesh.testing.git_server import GitServer
from tests.acceptance.harness import free_port
from tests.container_engine import Engine, install
from tests.integration.build_api import BuildApi
from tests.integration.builds import LIMITS, claim, eventually, failure, shown, spec, text

pytestmark = pytest.mark.matrix

NOWHERE = "http://127.0.0.1:9"  # an agent that finds no API keeps trying for a minute


@pytest.fixture(scope="module")
def engine(scalemesh: Path) -> Iterator[Path]:
    """A `docker` over bubblewrap; its containers have what the wheel installs."""
    found = bubblewrap.find()
    assert found, "bubblewrap is missing"
    folder = Path(tempfile.mkdtemp(prefix="engine-"))
    folder.chmod(0o755)  # a container's user sees what is mounted from here
    try:
        yield install(folder, scalemesh.parent.parent, found.path, environ_of_programs())
        Engine(folder).remove_all()
    finally:
        shutil.rmtree(folder)


@pytest.fixture
async def api() -> AsyncIterator[BuildApi]:
    async with BuildApi().serve() as serving:
        yield serving


@pytest.fixture
async def backend(engine: Path, api: BuildApi) -> AsyncIterator[DockerBackend]:
    """One installation for all of them: toolchains are fetched once."""
    folder = engine.parent / "backend"
    settings = DockerSettings(
        engine=str(engine), image="build-server", api_url=api.url, instance="images", folder=folder
    )
    async with DockerBackend(settings) as opened:
        yield opened
        for attempt in await opened.existing():
            await opened.stop(attempt, None)


def docker(engine: Path, *argv: str) -> str:
    return subprocess.run([engine, *argv], capture_output=True, text=True, timeout=60, check=True).stdout


def run_once(engine: Path, image: str, *command: str, **env: str) -> tuple[int, str]:
    """As `docker run --rm`, with the least that a container has: its exit code and what it said."""
    name = f"once-{free_port()}"
    given = [word for key, value in env.items() for word in ("--env", f"{key}={value}")]
    rights = ["--user", f"{UID}:{UID}", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only"]
    mounts = ["--tmpfs", "/tmp", "--tmpfs", "/var/lib/scalemesh", "--network", "none"]
    docker(engine, "run", "--detach", "--name", name, *rights, *mounts, *given, image, *command)
    state: dict[str, Any] = {"Running": True}
    while state["Running"]:
        state = json.loads(docker(engine, "inspect", "--type", "container", name))[0]["State"]
    docker(engine, "rm", "--force", name)
    return int(state["ExitCode"]), Engine(engine.parent).logs(name)


class TestBuildServer:
    async def test_a_site_is_cloned_built_and_published(
        self, backend: DockerBackend, api: BuildApi, engine: Path, tmp_path: Path
    ) -> None:
        with GitServer(tmp_path) as git:
            control = await built(backend, api, site(git, "id -u; cat /proc/1/environ; mkdir dist; cp *.html dist"))
            assert control.published is not None, shown(control) + logs(engine)
            assert list(control.blobs.values()) == [b"from a container"]
            assert str(UID) in text(control).splitlines()
            assert "ermission denied" in text(control)

    async def test_a_step_has_neither_token_nor_network_nor_engine(
        self, backend: DockerBackend, api: BuildApi, tmp_path: Path
    ) -> None:
        look = "ls /run/scalemesh-token /var/run/docker.sock; grep -c : /proc/net/dev; touch /usr/x; env; exit 3"
        with GitServer(tmp_path) as git:
            said = text(await built(backend, api, site(git, look)))
        assert len([line for line in said.splitlines() if "cannot access" in line or "Read-only" in line]) == 3, said
        assert "1" in said.splitlines()  # interfaces: only `lo`
        assert "smb_token" not in said

    async def test_the_log_is_whole_in_order_and_utf8(
        self, backend: DockerBackend, api: BuildApi, tmp_path: Path
    ) -> None:
        with GitServer(tmp_path) as git:
            control = await built(backend, api, site(git, "printf '\\377\\n'; seq -f 'line %.0f' 100000; exit 1"))
        lines = [line.text for line in control.lines if line.text.startswith("line ")]
        assert lines == [f"line {n}" for n in range(1, 100_001)], shown(control)[:2000]
        assert "\N{REPLACEMENT CHARACTER}" in text(control).splitlines()

    async def test_a_build_past_its_deadline_ends(self, backend: DockerBackend, api: BuildApi, tmp_path: Path) -> None:
        with GitServer(tmp_path) as git:
            control = await built(backend, api, site(git, "sleep 1000", build_timeout_s=10))
        assert failure(control).code == "timeout", shown(control)

    async def test_the_next_build_has_the_cache_of_the_last(
        self, backend: DockerBackend, api: BuildApi, tmp_path: Path
    ) -> None:
        script = "mkdir -p dist .cache; cat .cache/note > dist/index.html || true; echo kept > .cache/note"
        with GitServer(tmp_path) as git:
            first = await built(backend, api, site(git, script))
            assert first.left is not None, shown(first)
            second = await built(backend, api, site(git, script), cached=first)
        assert "Restored from cache" in text(second), shown(second)
        assert second.published is not None
        assert b"kept\n" in second.blobs.values()


class TestContract(BackendContract):
    """As on a real engine (test_docker_backend), where the machine has none."""

    @pytest.fixture
    def api(self) -> BuildApi:
        return BuildApi(url=NOWHERE)

    @pytest.fixture(autouse=True)
    def _engine(self, engine: Path) -> None:
        self.engine = engine

    async def end(self, backend: Backend, attempt: str, handle: Handle) -> None:
        docker(self.engine, "kill", handle["agent"])

    def another(self, backend: Backend) -> AbstractAsyncContextManager[Backend]:
        assert isinstance(backend, DockerBackend)
        return DockerBackend(backend._settings)

    def remains(self, backend: Backend, attempt: str) -> list[str]:
        names = docker(self.engine, "ps", "--all", "--format", "{{.Names}}").split()
        return [name for name in (*names, *docker(self.engine, "volume", "ls").split()) if attempt in name]


class TestPlatform:
    def test_its_entry_point_is_the_command_line(self, engine: Path) -> None:
        assert run_once(engine, "scalemesh", "--help")[0] == 0

    @pytest.mark.parametrize("part", ["api", "dispatcher", "pump"])
    def test_each_process_starts_and_names_what_it_lacks(self, engine: Path, part: str) -> None:
        code, said = run_once(engine, "scalemesh", "serve", part)
        assert (code, "SCALEMESH_LOG_BUS_URL" in said) == (2, True), said

    def test_migrations_are_in_it(self, engine: Path) -> None:
        argv = ["/opt/venv/bin/python", "-I", "-m", "scalemesh.main.migrate"]
        url = "sqlite+aiosqlite:////tmp/x.db"
        code, said = run_once(engine, "build-server", *argv, SCALEMESH_DATABASE_URL=url, HOME="/tmp")
        assert code == 0, said


def site(git: GitServer, command: str, **limits: int) -> Claim:
    repository = git.repository(f"site-{free_port()}", {"index.html": "from a container"})
    settings = BuildSettings(install_command="", build_command=command, output_directory="dist")
    commit = repository.git("rev-parse", "main").strip()
    return claim(spec(repository.url, commit, settings=settings, limits=msgspec.structs.replace(LIMITS, **limits)))


async def built(
    backend: DockerBackend, api: BuildApi, given: Claim, cached: MemoryControl | None = None
) -> MemoryControl:
    one = given.spec
    control = api.controls[one.attempt] = MemoryControl(given)
    if cached and cached.left:
        control.cached, control.archives = cached.left, cached.blobs
    handle = await backend.launch(Launch(one.attempt, one.deployment, one.number, new_launch().token, one.limits))

    async def gone() -> bool:
        return not (await backend.poll(one.attempt, handle)).running

    await eventually(gone, 90)
    await backend.stop(one.attempt, handle)
    return control


def logs(engine: Path) -> str:
    return "\n".join(path.read_text(errors="replace") for path in engine.parent.glob("*.log"))
