"""The port on Kubernetes: the Job is the attempt, and the API server remembers everything else."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Self

import httpx2
from lightkube import AsyncClient
from lightkube.core.exceptions import ApiError, ConfigError
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import Pod, Secret
from lightkube.types import CascadeType, PatchType

from scalemesh.core.build import CacheScope
from scalemesh.dispatch.backends.base import Backend, Ended, Handle, Launch, Status
from scalemesh.dispatch.backends.kubernetes import manifests
from scalemesh.dispatch.backends.kubernetes.manifests import ATTEMPT, KubernetesSettings
from scalemesh.dispatch.backends.kubernetes.outcomes import status_of
from scalemesh.dispatch.backends.kubernetes.watcher import PodWatcher
from scalemesh.errors import BadSettings, InfrastructureFault

GONE_S = 60.0  # a node that is busy takes its time
_LOOK_S = 0.5
_DELETED = Ended("deleted", "The build's Job was deleted by somebody else.")
_NOT_FOUND, _CONFLICT = 404, 409
_REFUSED = frozenset({400, 401, 403, 422})  # an operator's mistake: trying again mends nothing


class KubernetesBackend(Backend):
    """The cluster is the one of KUBECONFIG, or the one that this process runs in."""

    name = "kubernetes"
    shared = True

    def __init__(self, settings: KubernetesSettings) -> None:
        self._settings = settings
        self._labels = {**manifests.LABELS, "app.kubernetes.io/instance": settings.instance}

    async def __aenter__(self) -> Self:
        try:
            self._client = AsyncClient(namespace=self._settings.namespace, field_manager="scalemesh")
        except ConfigError as error:
            raise BadSettings(
                f"SCALEMESH_BUILDER=kubernetes: no cluster: {error}",
                hint="Set KUBECONFIG, or run in a pod with a service account.",
                field="SCALEMESH_BUILDER",
            ) from error
        self._watcher = PodWatcher(self._client, self._settings.namespace, self._labels)
        self._watching = asyncio.create_task(self._watcher.run(), name="pod watcher")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._watching.cancel()
        await asyncio.gather(self._watching, return_exceptions=True)
        await self._client.aclose()

    async def launch(self, launch: Launch) -> Handle:
        with _answers("start a build"):
            secret = Secret.from_dict(manifests.secret(launch, self._settings))
            await self._create(secret)
            job = await self._create(Job.from_dict(manifests.job(launch, self._settings)))
            await self._own(manifests.name_of(launch), job)
        return {"namespace": self._settings.namespace, "name": job.metadata.name, "uid": job.metadata.uid}

    async def poll(self, attempt: str, handle: Handle | None) -> Status:
        if pod := await self._watcher.pod(attempt):
            return status_of(pod, unschedulable_s=self._settings.unschedulable_s)
        with _answers("look for a build"):
            async for job in self._of(Job, {ATTEMPT: attempt}):
                return _without_pod(job)
        return Status(running=False, detail="no Job", ended=_DELETED)

    async def stop(self, attempt: str, handle: Handle | None, keep: CacheScope | None = None) -> None:
        only = {ATTEMPT: attempt}
        with _answers("stop a build"):
            async for job in self._of(Job, only):
                await self._delete(Job, job.metadata.name, CascadeType.FOREGROUND)
            async for secret in self._of(Secret, only):
                await self._delete(Secret, secret.metadata.name)
            if not await self._gone(only):
                async for pod in self._of(Pod, only):  # its node does not answer
                    await self._delete(Pod, pod.metadata.name, grace_period=0)
                raise InfrastructureFault(f"The pod of {attempt} does not go away.", code="pod_stays")

    async def existing(self) -> set[str]:
        found: set[str] = set()
        with _answers("list the builds"):
            for kind in (Job, Secret, Pod):
                found |= {each.metadata.labels[ATTEMPT] async for each in self._of(kind, {})}
        return found

    async def _gone(self, labels: dict[str, str]) -> bool:
        """A Job that is deleted in the foreground stays until its pod has gone; an orphaned pod is deleted itself."""
        deadline = time.monotonic() + GONE_S
        for kind in (Job, Pod):
            while names := [each.metadata.name async for each in self._of(kind, labels)]:
                if time.monotonic() > deadline:
                    return False
                if kind is Pod:
                    for name in names:
                        await self._delete(Pod, name)
                await asyncio.sleep(_LOOK_S)
        return True

    async def _create(self, wanted: Any) -> Any:
        """What was created, or what had been."""
        try:
            return await self._client.create(wanted)
        except ApiError as error:
            if error.status.code != _CONFLICT:
                raise
            return await self._client.get(type(wanted), wanted.metadata.name)

    async def _own(self, secret: str, job: Any) -> None:
        """The Secret goes with its Job, whoever deletes that."""
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job.metadata.name, "uid": job.metadata.uid}
        patch = {"metadata": {"ownerReferences": [owner]}}
        await self._client.patch(Secret, secret, patch, patch_type=PatchType.MERGE)

    async def _of(self, kind: Any, labels: dict[str, str]) -> AsyncIterator[Any]:
        async for found in self._client.list(kind, labels={**self._labels, **labels}):
            yield found

    async def _delete(
        self, kind: Any, name: str, cascade: CascadeType | None = None, grace_period: int | None = None
    ) -> None:
        try:
            await self._client.delete(kind, name, cascade=cascade, grace_period=grace_period)
        except ApiError as error:
            if error.status.code != _NOT_FOUND:
                raise


def _without_pod(job: Any) -> Status:
    for condition in (job.status and job.status.conditions) or ():
        if condition.type == "Failed" and condition.reason == "DeadlineExceeded":
            ended = Ended("timeout", "The build did not end within its time limit.", infrastructure=False)
            return Status(running=False, detail="Job: DeadlineExceeded", ended=ended)
        if condition.type in {"Failed", "Complete"}:
            return Status(running=False, detail=f"Job: {condition.type} {condition.reason or ''}", ended=Ended())
    return Status(running=True)  # its pod is about to be made


@contextlib.contextmanager
def _answers(what: str) -> Iterator[None]:
    """The API server's errors as ours."""
    try:
        yield
    except ApiError as error:
        kind = BadSettings if error.status.code in _REFUSED else InfrastructureFault
        raise kind(f"Kubernetes did not {what}: {error.status.message}", code="kubernetes_refused") from error
    except httpx2.HTTPError as error:
        raise InfrastructureFault(f"Kubernetes did not {what}: {error!r}", code="kubernetes_unavailable") from error
