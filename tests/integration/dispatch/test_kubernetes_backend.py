"""The Kubernetes backend against an API server in this process; tests/kubernetes has the real one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from scalemesh.dispatch.backends.base import Backend, Handle
from scalemesh.dispatch.backends.kubernetes.backend import KubernetesBackend
from scalemesh.dispatch.backends.kubernetes.manifests import ATTEMPT, KubernetesSettings
from scalemesh.errors import BadSettings
from scalemesh.testing.backend_contract import BackendContract, new_launch
from tests.integration.dispatch.kubernetes_api import CRASHED, KubernetesApi

SETTINGS = KubernetesSettings(namespace="builds", image="image:1", api_url="http://api:8000", instance="test")


@pytest.fixture
async def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KubernetesApi]:
    async with KubernetesApi().serve() as api:
        monkeypatch.setenv("KUBECONFIG", str(api.kubeconfig(tmp_path / "kubeconfig")))
        yield api


@pytest.fixture
async def backend(api: KubernetesApi) -> AsyncIterator[Backend]:
    async with KubernetesBackend(SETTINGS) as backend:
        yield backend


class TestKubernetesBackendInProcess(BackendContract):
    @pytest.fixture(autouse=True)
    def server(self, api: KubernetesApi) -> None:
        self.api = api

    async def end(self, backend: Backend, attempt: str, handle: Handle) -> None:
        self.api.set_status(attempt, CRASHED)

    def another(self, backend: Backend) -> AbstractAsyncContextManager[Backend]:
        assert isinstance(backend, KubernetesBackend)
        return KubernetesBackend(backend._settings)

    def remains(self, backend: Backend, attempt: str) -> list[str]:
        return [name for kind in ("jobs", "pods", "secrets") for name in names(self.api, kind, attempt)]


def names(api: KubernetesApi, kind: str, attempt: str) -> list[str]:
    return [found["metadata"]["name"] for found in api.of(kind, f"{ATTEMPT}={attempt}")]


async def eventually(look: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        for _ in range(3000):
            if await look():
                return
            await asyncio.sleep(0.01)
    raise AssertionError("never")


@pytest.mark.parametrize("lose", [KubernetesApi.expire, KubernetesApi.break_watches], ids=["410 Gone", "lost"])
async def test_pods_are_seen_after_the_watch_is_gone(
    backend: Backend, api: KubernetesApi, lose: Callable[[KubernetesApi], None]
) -> None:
    launch = new_launch()
    handle = await backend.launch(launch)
    assert (await backend.poll(launch.attempt, handle)).running
    lose(api)
    api.set_status(launch.attempt, CRASHED)

    async def ended() -> bool:
        return not (await backend.poll(launch.attempt, handle)).running

    await eventually(ended)


async def test_job_deleted_by_hand_is_told_apart(backend: Backend, api: KubernetesApi) -> None:
    launch = new_launch()
    handle = await backend.launch(launch)
    for kind in ("jobs", "pods"):
        for name in names(api, kind, launch.attempt):
            api._delete(kind, name)

    async def deleted() -> bool:
        return (await backend.poll(launch.attempt, handle)).ended.code == "deleted"

    await eventually(deleted)


async def test_secret_goes_with_its_job(backend: Backend, api: KubernetesApi) -> None:
    launch = new_launch()
    await backend.launch(launch)
    (job,) = names(api, "jobs", launch.attempt)
    api._delete("jobs", job)
    assert names(api, "secrets", launch.attempt) == []


async def test_other_installation_is_left_alone(backend: Backend) -> None:
    await backend.launch(new_launch())
    other = KubernetesSettings(namespace="builds", image="image:1", api_url="http://api:8000", instance="other")
    async with KubernetesBackend(other) as another:
        assert await another.existing() == set()


async def test_missing_rights_are_the_operators_to_mend(backend: Backend, api: KubernetesApi) -> None:
    api.forbidden = True
    with pytest.raises(BadSettings, match="forbidden"):
        await backend.launch(new_launch())


async def test_no_cluster_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    with pytest.raises(BadSettings, match="no cluster"):
        async with KubernetesBackend(SETTINGS):
            raise AssertionError("opened")
