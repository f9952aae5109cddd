"""`/v1` over HTTP: one method per act, JSON in, JSON out, problem documents as errors."""

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

import scalemesh
from scalemesh.client.shapes import Deployment, LogPage, Project
from scalemesh.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    ScaleMeshError,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)

_BY_STATUS: dict[int, type[ScaleMeshError]] = {
    error.status: error
    for error in (Unauthenticated, Forbidden, NotFound, Conflict, TooLarge, InvalidInput, Unavailable)
}


class Client:
    """Opens lazily; close it (or use `with`). Every call has a deadline; none is repeated unless it is safe to."""

    def __init__(self, url: str, token: str | None, *, timeout_s: float = 40) -> None:
        self.url = url.rstrip("/")
        self.token = token
        headers = {"User-Agent": f"scalemesh/{scalemesh.__version__}"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self._http = httpx.Client(
            base_url=self.url, headers=headers, timeout=timeout_s, transport=httpx.HTTPTransport(retries=2)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._http.close()

    def call(self, method: str, path: str, **options: Any) -> Any:
        """One request under /v1. Raises ScaleMeshError; Unavailable when the API cannot be reached."""
        try:
            response = self._http.request(method, f"/v1{path}", **options)
        except httpx.HTTPError as error:
            raise Unavailable(
                f"Cannot reach Scale Mesh at {self.url}: {error or type(error).__name__}",
                code="unreachable",
                hint="Is it running (`scalemesh up`), and is SCALEMESH_URL right?",
            ) from error
        if response.is_error:
            raise _problem(response)
        return response.json() if response.content else None

    def pages(self, path: str, **params: Any) -> Iterator[Any]:
        """Every item of a list, page by page."""
        cursor: str | None = None
        while True:
            page = self.call("GET", path, params={**params, **({"cursor": cursor} if cursor else {})})
            yield from page["items"]
            cursor = page.get("next")
            if not cursor:
                return

    def me(self) -> dict[str, Any]:
        return dict(self.call("GET", "/me"))

    def projects(self) -> Iterator[Project]:
        return self.pages("/projects")

    def project(self, ref: str) -> Project:
        found: Project = self.call("GET", f"/projects/{_part(ref)}")
        return found

    def create_project(self, **fields: Any) -> Project:
        created: Project = self.call("POST", "/projects", json=_given(fields))
        return created

    def change_project(self, ref: str, **fields: Any) -> Project:
        """None sets a field back to its default."""
        changed: Project = self.call("PATCH", f"/projects/{_part(ref)}", json=fields)
        return changed

    def delete_project(self, ref: str) -> None:
        self.call("DELETE", f"/projects/{_part(ref)}")

    def deployments(self, project: str) -> Iterator[Deployment]:
        return self.pages(f"/projects/{_part(project)}/deployments")

    def deploy(self, project: str, **fields: Any) -> Deployment:
        created: Deployment = self.call("POST", f"/projects/{_part(project)}/deployments", json=_given(fields))
        return created

    def deployment(self, identifier: str) -> Deployment:
        found: Deployment = self.call("GET", f"/deployments/{_part(identifier)}")
        return found

    def act(self, identifier: str, verb: str) -> Deployment:
        """`verb`: cancel, promote, redeploy."""
        after: Deployment = self.call("POST", f"/deployments/{_part(identifier)}/{verb}")
        return after

    def explain(self, identifier: str, path: str, method: str, headers: dict[str, str]) -> dict[str, Any]:
        """What an edge would answer, with every field there."""
        given = [("path", path), ("method", method), *(("header", f"{k}: {v}") for k, v in headers.items())]
        found: dict[str, Any] = self.call("GET", f"/deployments/{_part(identifier)}/explain", params=given)
        names = ("status", "headers", "file", "location", "proxy_to", "matched")
        answer = {name: found.get(name) for name in names}
        return answer | {"headers": dict(found.get("headers", [])), "matched": found.get("matched", [])}

    def rollback(self, project: str) -> Deployment:
        after: Deployment = self.call("POST", f"/projects/{_part(project)}/rollback")
        return after

    def logs(self, identifier: str, after: int = -1, limit: int = 1000) -> LogPage:
        params = {"after": after, "limit": limit}
        page: LogPage = self.call("GET", f"/deployments/{_part(identifier)}/logs", params=params)
        return page

    def search_logs(self, of: str, *, is_project: bool, **params: Any) -> Iterator[dict[str, Any]]:
        """Hits in the log of a deployment, or in those of a project, page by page."""
        return self.pages(f"/{'projects' if is_project else 'deployments'}/{_part(of)}/logs/search", **_given(params))

    def access(self, project: str, **params: Any) -> Iterator[dict[str, Any]]:
        """Requests for a project's sites, newest first, page by page."""
        return self.pages(f"/projects/{_part(project)}/access", **_given(params))

    def env(self, project: str) -> list[dict[str, Any]]:
        return list(self.pages(f"/projects/{_part(project)}/env"))

    def set_env(self, project: str, key: str, value: str, **fields: Any) -> None:
        self.call("PUT", f"/projects/{_part(project)}/env/{_part(key)}", json=_given({"value": value, **fields}))

    def remove_env(self, project: str, key: str, **params: Any) -> None:
        self.call("DELETE", f"/projects/{_part(project)}/env/{_part(key)}", params=_given(params))


def _part(value: str) -> str:
    """One path segment, whatever is in it."""
    return quote(value, safe="")


def _given(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _problem(response: httpx.Response) -> ScaleMeshError:
    """An RFC 9457 problem document as the error that it was made from."""
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    if not isinstance(problem, dict):
        problem = {}
    message = str(problem.get("detail") or problem.get("title") or f"HTTP {response.status_code}")
    code, hint = str(problem.get("code", "")), problem.get("hint")
    if response.status_code == TooManyRequests.status:
        wait_s = response.headers.get("Retry-After", "1")
        return TooManyRequests(message, retry_after_s=int(wait_s) if wait_s.isdigit() else 1, code=code, hint=hint)
    kind = _BY_STATUS.get(response.status_code) or (InvalidInput if response.status_code < 500 else Unavailable)
    return kind(message, code=code, hint=hint)
