"""The pods of all builds as they are: listed once, then watched; and again when the watch is lost, or too old (410)."""

import asyncio
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
        self._synced = asyncio.Event()

    async def run(self) -> None:
        while True:
            try:
                await self._follow(await self._list())
            except (httpx2.HTTPError, ApiError, TimeoutError) as error:
                log.warning("lost sight of the builds' pods; looking again", cause=str(error))
            except Exception:  # an answer that makes no sense: never to go on with what was true once
                log.exception("lost sight of the builds' pods; looking again")
            self._synced.clear()
            await asyncio.sleep(_RETRY_S)

    async def pod(self, attempt: str) -> dict[str, Any] | None:
        """The attempt's pod, None where there is none. Raises Unavailable while the API server cannot be reached."""
        try:
            async with asyncio.timeout(_SYNC_S):
                await self._synced.wait()
        except TimeoutError as error:
            raise Unavailable("The Kubernetes API server does not answer.", code="kubernetes_unavailable") from error
        return self._pods.get(attempt)

    async def _list(self) -> str:
        listing = self._client.list(Pod, namespace=self._namespace, labels=self._labels)
        self._pods = {_attempt(pod): pod.to_dict() async for pod in listing}
        self._synced.set()
        return str(listing.resourceVersion)

    async def _follow(self, version: str) -> None:
        events: Any = self._client.watch(
            Pod, namespace=self._namespace, labels=self._labels, server_timeout=WATCH_S, resource_version=version
        )
        while True:
            async with asyncio.timeout(WATCH_S + _SILENT_S):
                kind, pod = await anext(events)
            if kind == "DELETED":
                self._pods.pop(_attempt(pod), None)
            else:
                self._pods[_attempt(pod)] = pod.to_dict()


def _attempt(pod: Any) -> str:
    return str(pod.metadata.labels[ATTEMPT])
