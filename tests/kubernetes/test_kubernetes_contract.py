"""The backend's contract on a real cluster (KUBECONFIG), with the real image (SCALEMESH_BUILD_IMAGE)."""

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

import pytest

from scalemesh.dispatch.backends.base import Backend, Handle
from scalemesh.dispatch.backends.kubernetes.backend import KubernetesBackend
from scalemesh.dispatch.backends.kubernetes.manifests import ATTEMPT, KubernetesSettings
from scalemesh.testing.backend_contract import BackendContract
from tests.kubernetes.kubernetes_cluster import NAMESPACE, items, kubectl

NOWHERE = "http://127.0.0.1:9"  # an agent that finds no API keeps trying for a minute


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    settings = KubernetesSettings(
        namespace=NAMESPACE,
        image=os.environ["SCALEMESH_BUILD_IMAGE"],
        api_url=NOWHERE,
        instance=f"test-{secrets.token_hex(4)}",
        cpu_request=0.01,
    )
    async with KubernetesBackend(settings) as backend:
        yield backend
        for attempt in await backend.existing():
            await backend.stop(attempt, None)


class TestKubernetesBackend(BackendContract):
    async def end(self, backend: Backend, attempt: str, handle: Handle) -> None:
        pod = kubectl("get", "pods", "-l", f"{ATTEMPT}={attempt}", "-o", "name").strip()
        kubectl("wait", "--for=condition=Ready", pod, "--timeout=50s")
        kubectl("exec", pod, "-c", "agent", "--", "python", "-c", "import os; os.kill(1, 2)")

    def another(self, backend: Backend) -> AbstractAsyncContextManager[Backend]:
        assert isinstance(backend, KubernetesBackend)
        return KubernetesBackend(backend._settings)

    def remains(self, backend: Backend, attempt: str) -> list[str]:
        found = items("jobs,pods,secrets", "-l", f"{ATTEMPT}={attempt}")
        return [f"{item['kind']}/{item['metadata']['name']}" for item in found]
