"""The pods of all builds as they are: listed once, then watched; and again when the watch is lost, or too old (410)."""

import asyncio
import contextlib
from typing import Any

import httpx2
import structlog
from lightkube import AsyncClient
from lightkube.core.exceptions import ApiError
from lightkube.resources.core_v1 import Pod

from scalemesh.dispatch.backends.kubernetes.manifests import ATTEMPT
from scalemesh.errors import Unavailable

log = structlog.get_logger(__name__)

WATCH_S = 240  # the API server then ends a watch; a new one goes on where it was
_SILENT_S = 30.0  # and so much later it counts as lost
_RETRY_S = 1.0
_SYNC_S = 15.0


class PodWatcher:
    """`run` until cancelled. `labels` choose the pods."""

    def __init__(self, client: AsyncClient, namespace: str, labels: dict[str, str]) -> None:
        self._client = client
        self._namespace = namespace
        self._labels: Any = labels
        self._pods: dict[str, dict[str, Any]] = {}
        self._changed = asyncio.Condition()
        self._synced = False

    async def run(self) -> None:
        while True:
            try:
                await self._follow(await self._list())
            except (httpx2.HTTPError, ApiError, TimeoutError) as error:
                self._synced = False
                log.warning("lost sight of the builds' pods; looking again", cause=str(error))
                await asyncio.sleep(_RETRY_S)

    async def pod(self, attempt: str) -> dict[str, Any] | None:
        """The attempt's pod, None where there is none. Raises Unavailable while the API server cannot be reached."""
        async with self._changed:
            await self._until(lambda: self._synced, _SYNC_S)
            return self._pods.get(attempt)

    async def gone(self, attempt: str, timeout_s: float) -> bool:
        """Whether the attempt's pod has gone in time."""
        async with self._changed:
            with contextlib.suppress(Unavailable):
                await self._until(lambda: self._synced and attempt not in self._pods, timeout_s)
                return True
        return False

    async def _until(self, holds: Any, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait_for(holds)
        except TimeoutError as error:
            raise Unavailable("The Kubernetes API server does not answer.", code="kubernetes_unavailable") from error

    async def _list(self) -> str:
        listing = self._client.list(Pod, namespace=self._namespace, labels=self._labels)
        found = {_attempt(pod): pod.to_dict() async for pod in listing}
        async with self._changed:
            self._pods, self._synced = found, True
            self._changed.notify_all()
        return str(listing.resourceVersion)

    async def _follow(self, version: str) -> None:
        events: Any = self._client.watch(
            Pod, namespace=self._namespace, labels=self._labels, server_timeout=WATCH_S, resource_version=version
        )
        while True:
            async with asyncio.timeout(WATCH_S + _SILENT_S):
                kind, pod = await anext(events)
            attempt = _attempt(pod)
            async with self._changed:
                if kind == "DELETED":
                    self._pods.pop(attempt, None)
                else:
                    self._pods[attempt] = pod.to_dict()
                self._changed.notify_all()


def _attempt(pod: Any) -> str:
    return str(pod.metadata.labels[ATTEMPT])
