"""As much of a Kubernetes API server as the backend speaks with; answers and events as version 1.20 gives them.

A Job has its pod at once, and a Job that goes takes what is its own with it.
"""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

Json = dict[str, Any]
REASONS = {403: "Forbidden", 404: "NotFound", 409: "AlreadyExists", 410: "Expired"}
AGENT: Json = {"name": "agent", "image": "image:1", "imageID": "sha256:0", "ready": False, "restartCount": 0}
RUNNING: Json = {"phase": "Running", "containerStatuses": [AGENT | {"state": {"running": {}}}]}
CRASHED: Json = {
    "phase": "Failed",
    "containerStatuses": [AGENT | {"state": {"terminated": {"exitCode": 130, "reason": "Error"}}}],
}


def status(code: int, message: str) -> Json:
    reason = {"message": message, "reason": REASONS[code], "code": code}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", **reason}


class KubernetesApi:
    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Json] = {}
        self.forbidden = False
        self._version = 2000
        self._history: list[tuple[int, Json]] = []
        self._watchers: set[asyncio.Queue[Json | None]] = set()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[Self]:
        paths = ("/apis/batch/v1/namespaces/builds/{kind}", "/api/v1/namespaces/builds/{kind}")
        routes = [Route(path, self._many, methods=["GET", "POST"]) for path in paths]
        routes += [Route(f"{path}/{{name}}", self._one, methods=["GET", "PATCH", "DELETE"]) for path in paths]
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_config=None, lifespan="off"))
            serving = asyncio.create_task(server.serve([listener]))
            try:
                yield self
            finally:
                server.should_exit = True
                self.break_watches()
                await serving

    def kubeconfig(self, path: Path) -> Path:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": self.url}}],
            "users": [{"name": "test", "user": {"token": "test"}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        }
        path.write_text(json.dumps(config))
        return path

    def set_status(self, attempt: str, given: Json) -> None:
        (pod,) = [each for each in self.of("pods") if each["metadata"]["labels"]["scalemesh.dev/attempt"] == attempt]
        self._changed("MODIFIED", pod | {"status": given})

    def expire(self) -> None:
        """What watchers are told that have fallen too far behind."""
        for queue in self._watchers:
            queue.put_nowait({"type": "ERROR", "object": status(410, "too old resource version: 1 (2595)")})
        self.break_watches()

    def break_watches(self) -> None:
        for queue in self._watchers:
            queue.put_nowait(None)

    def of(self, kind: str, selector: str = "") -> list[Json]:
        wanted = dict(pair.split("=") for pair in selector.split(",") if pair)
        return [
            found
            for (kind_of, _), found in self.objects.items()
            if kind_of == kind and wanted.items() <= found["metadata"]["labels"].items()
        ]

    async def _many(self, request: Request) -> Response:
        kind = request.path_params["kind"]
        if self.forbidden:
            return JSONResponse(status(403, f'{kind} is forbidden: User "test" cannot do that'), 403)
        if request.method == "POST":
            return self._create(kind, await request.json())
        if request.query_params.get("watch"):
            queue: asyncio.Queue[Json | None] = asyncio.Queue()
            for version, event in self._history:
                if version > int(request.query_params["resourceVersion"]):
                    queue.put_nowait(event)
            self._watchers.add(queue)
            return StreamingResponse(self._events(queue), media_type="application/json")
        found = self.of(kind, request.query_params.get("labelSelector", ""))
        return JSONResponse({"metadata": {"resourceVersion": str(self._version)}, "items": found})

    async def _one(self, request: Request) -> Response:
        key = kind, name = request.path_params["kind"], request.path_params["name"]
        if key not in self.objects:
            return JSONResponse(status(404, f'{kind} "{name}" not found'), 404)
        if request.method == "DELETE":
            self._delete(*key)
            return JSONResponse({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})
        if request.method == "PATCH":
            self.objects[key]["metadata"] |= (await request.json())["metadata"]
        return JSONResponse(self.objects[key])

    def _create(self, kind: str, given: Json) -> Response:
        name = given["metadata"]["name"]
        if (kind, name) in self.objects:
            return JSONResponse(status(409, f'{kind} "{name}" already exists'), 409)
        given["metadata"] |= {"uid": f"{kind}-{name}", "creationTimestamp": "2026-01-01T00:00:00Z"}
        self.objects[kind, name] = given
        if kind == "jobs":
            owner = {
                "ownerReferences": [
                    {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": given["metadata"]["uid"]}
                ]
            }
            metadata = given["metadata"] | owner | {"name": f"{name}-x7x4k", "uid": f"pods-{name}"}
            self._changed("ADDED", {"metadata": metadata, "spec": given["spec"]["template"]["spec"], "status": RUNNING})
        return JSONResponse(given, 201)

    def _delete(self, kind: str, name: str) -> None:
        gone = self.objects.pop((kind, name))
        if kind == "pods":
            self._changed("DELETED", gone)
        for (kind_of, name_of), found in list(self.objects.items()):
            owners = found["metadata"].get("ownerReferences", ())
            if any(owner["uid"] == gone["metadata"].get("uid") for owner in owners):
                self._delete(kind_of, name_of)

    def _changed(self, event: str, pod: Json) -> None:
        self._version += 1
        pod["metadata"]["resourceVersion"] = str(self._version)
        if event != "DELETED":
            self.objects["pods", pod["metadata"]["name"]] = pod
        self._history.append((self._version, {"type": event, "object": pod}))
        for queue in self._watchers:
            queue.put_nowait(self._history[-1][1])

    async def _events(self, queue: asyncio.Queue[Json | None]) -> AsyncIterator[str]:
        try:
            while event := await queue.get():
                yield json.dumps(event) + "\n"
        finally:
            self._watchers.discard(queue)
