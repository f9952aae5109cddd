"""Every route, generated from the application itself: nobody gets in without a token, nobody into another team."""

from collections.abc import Iterator

import pytest
from fastapi.routing import APIRoute, APIWebSocketRoute

from scalemesh.api.app import routes
from scalemesh.api.services import Services
from scalemesh.testing.factories import DISPATCHER
from tests.integration.api.conftest import Api

PUBLIC = {"/v1/setup", "/v1/auth/login", "/healthz", "/readyz", "/metrics"}  # /metrics has tests of its own
OWN = {"/v1/me", "/v1/auth/logout", "/v1/tokens", "/v1/projects"}  # about the asker: there is nothing of anybody else's

MACHINES = ("/v1/builds", "/v1/edge", "/v1/hooks")  # not a person's: tokens and signatures of their own


def routes_of(services: Services) -> Iterator[tuple[str, str]]:
    for route in routes(services).routes:
        if isinstance(route, APIRoute) and route.path not in PUBLIC:
            for method in route.methods or ():
                yield method, route.path


async def test_there_are_routes(services: Services) -> None:
    assert len(list(routes_of(services))) > 35


async def test_anonymous_gets_401_everywhere(api: Api, services: Services) -> None:
    got = {
        f"{method} {path}": (await api.ask(method, filled(path), token="")).status_code
        for method, path in routes_of(services)
    }
    assert {route: status for route, status in got.items() if status != 401} == {}


async def test_wrong_token_gets_401_everywhere(api: Api, services: Services) -> None:
    got = {
        f"{method} {path}": (await api.ask(method, filled(path), token="smp_wrong")).status_code
        for method, path in routes_of(services)
    }
    assert {route: status for route, status in got.items() if status != 401} == {}


async def test_another_tenant_gets_404_everywhere(api: Api, services: Services) -> None:
    """As an owner of another team, with bodies that the route would take from its own."""
    actor = await api.actor()
    await api.kit.project(actor)
    deployment = (await api.kit.ready(actor)).id
    token = (await api.ok("GET", "/v1/tokens"))["items"][0]["id"]
    got = {}
    for method, path in routes_of(services):
        if path in OWN or path.startswith(MACHINES):
            continue
        url = filled(path, project="blog", deployment=deployment, token=token)
        answer = await api.ask(method, url, token=api.stranger, json=body(path, method), params={"path": "/"})
        got[f"{method} {path}"] = answer.status_code
    assert len(got) > 20
    assert {route: status for route, status in got.items() if status != 404} == {}


async def test_the_owner_does_not_get_404(api: Api, services: Services) -> None:
    """The control of the test above: the same requests find their things when the right one asks."""
    actor = await api.actor()
    await api.kit.project(actor)
    deployment = (await api.kit.ready(actor)).id
    token = (await api.ok("GET", "/v1/tokens"))["items"][0]["id"]
    for live in await api.kit.deployments.queue.live(DISPATCHER):
        await api.kit.deployments.queue.cleaned(live.attempt)  # or the project could not go
    got = {}
    # after these there is nothing to ask for any more, nor with
    last = ["DELETE /v1/deployments/{deployment}", "DELETE /v1/projects/{project}", "DELETE /v1/tokens/{token}"]
    order = {route: number for number, route in enumerate(last, start=1)}
    for method, path in sorted(routes_of(services), key=lambda route: order.get(" ".join(route), 0)):
        if path in OWN or path.startswith(MACHINES) or "/env/" in path:
            continue
        url = filled(path, project="blog", deployment=deployment, token=token)
        answer = await api.ask(method, url, json=body(path, method), params={"path": "/"})
        got[f"{method} {path}"] = answer.status_code
    assert {route: status for route, status in got.items() if status in {401, 404, 422}} == {}


@pytest.mark.parametrize("path", ["/v1/builds/att_x/heartbeat", "/v1/edge/routes"])
async def test_a_persons_token_is_no_machines(api: Api, path: str) -> None:
    method = "POST" if "builds" in path else "GET"
    assert (await api.ask(method, path)).status_code == 401


async def test_streams_are_listed(services: Services) -> None:
    """WebSockets are not among the routes above; each has tests of its own."""
    found = [route.path for route in routes(services).routes if isinstance(route, APIWebSocketRoute)]
    assert found == ["/v1/deployments/{deployment}/logs/stream"]


def filled(path: str, **values: str) -> str:
    given = {"project": "blog", "deployment": "dpl_x", "token": "tok_x", "key": "KEY", "attempt": "att_x"}
    return path.format(**given | {"sha256": "0" * 64} | values)


def body(path: str, method: str) -> object:
    """What the route takes; the others do not read it."""
    by_path = {
        "/v1/projects/{project}/deployments": {"target": "production"},
        "/v1/projects/{project}/env": {"key": "KEY", "value": "x"},
        "/v1/projects/{project}/env/{key}": {"value": "x"},
        "/v1/projects/{project}/uploads/missing": {"blobs": []},
    }
    reads_none = method == "GET" or path.endswith("/uploads/blobs")
    return None if reads_none else by_path.get(path, {})
