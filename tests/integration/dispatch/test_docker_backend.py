"""The contract on a real engine, Docker's or Podman's: SCALEMESH_TEST_ENGINE names its program.

There is none on most machines, and none that a wheel could bring: then these tests say so and are skipped.
"""

import os
import secrets
import subprocess
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from scalemesh.dispatch.backends.base import Backend, Handle
from scalemesh.dispatch.backends.docker import DockerBackend, DockerSettings
from scalemesh.testing.backend_contract import BackendContract, new_launch

ENGINE = os.environ.get("SCALEMESH_TEST_ENGINE", "")
IMAGE = os.environ.get("SCALEMESH_BUILD_IMAGE", "")
NOWHERE = "http://127.0.0.1:9"  # an agent that finds no API keeps trying for a minute

pytestmark = [
    pytest.mark.matrix,
    pytest.mark.skipif(not (ENGINE and IMAGE), reason="needs SCALEMESH_TEST_ENGINE and SCALEMESH_BUILD_IMAGE"),
]


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[Backend]:
    instance = f"test-{secrets.token_hex(4)}"
    settings = DockerSettings(engine=ENGINE, image=IMAGE, api_url=NOWHERE, instance=instance, folder=tmp_path)
    tmp_path.chmod(0o711)
    async with DockerBackend(settings) as backend:
        yield backend
        for attempt in await backend.existing():
            await backend.stop(attempt, None)
        engine("volume", "rm", "--force", f"scalemesh-toolchains-{instance}")


class TestDockerBackend(BackendContract):
    async def end(self, backend: Backend, attempt: str, handle: Handle) -> None:
        engine("kill", handle["agent"])

    def another(self, backend: Backend) -> AbstractAsyncContextManager[Backend]:
        assert isinstance(backend, DockerBackend)
        return DockerBackend(backend._settings)

    def remains(self, backend: Backend, attempt: str) -> list[str]:
        containers = engine("ps", "--all", "--format", "{{.Names}}").split()
        return [name for name in (*containers, *engine("volume", "ls", "--quiet").split()) if attempt in name]


async def test_a_step_sees_neither_a_network_nor_the_token_nor_the_engine(backend: Backend) -> None:
    handle = await backend.launch(new_launch())
    look = "cat /run/scalemesh-token/token; ls /var/run/docker.sock; cat /proc/net/dev; cat /proc/1/environ; id -u"
    done = subprocess.run(
        [ENGINE, "exec", handle["runner"], "sh", "-c", look], capture_output=True, text=True, check=False
    )
    assert "smb_token" not in done.stdout
    assert [line.split(":")[0].strip() for line in done.stdout.splitlines() if ":" in line and "|" not in line] == [
        "lo"
    ]
    assert done.stdout.splitlines()[-1] == "10001"


async def test_the_token_reaches_the_agent(backend: Backend) -> None:
    """The control of the one above."""
    handle = await backend.launch(new_launch())
    assert engine("exec", handle["agent"], "cat", "/run/scalemesh-token/token") == "smb_token"


def engine(*args: str) -> str:
    return subprocess.run([ENGINE, *args], check=True, capture_output=True, text=True, timeout=60).stdout
