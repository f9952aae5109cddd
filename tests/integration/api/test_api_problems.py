"""Every error is a problem document, RFC 9457, with our code, and a hint where there is something to do."""

from collections.abc import AsyncIterator

import pytest

from scalemesh.api.documents import MAX_BODY_BYTES
from scalemesh.api.services import Services
from scalemesh.db.tables import Role
from tests.integration.api.conftest import Api, token_of


async def problem(api: Api, method: str, path: str, **options: object) -> dict[str, object]:
    answer = await api.ask(method, path, **options)  # type: ignore[arg-type]
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, object] = answer.json()
    assert found["status"] == answer.status_code
    assert found.keys() >= {"type", "title", "status", "detail", "code"} - {"type"}
    return found


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "not_found"),
        ("PUT", "/v1/me", 405, "method_not_allowed"),
        ("GET", "/v1/projects/none", 404, "project_not_found"),
        ("GET", "/v1/deployments/dpl_none", 404, "deployment_not_found"),
        ("GET", "/v1/projects?limit=0", 422, "invalid_parameter"),
        ("GET", "/v1/deployments/x/explain", 422, "invalid_parameter"),
        ("DELETE", "/v1/tokens/tok_none", 404, "not_found"),
    ],
)
async def test_routing_and_parameters(api: Api, method: str, path: str, status: int, code: str) -> None:
    found = await problem(api, method, path)
    assert (found["status"], found["code"]) == (status, code)


@pytest.mark.parametrize(
    "of", ["projects", "projects/blog/deployments", "projects/blog/access", "deployments/{id}/files"]
)
async def test_cursor_of_no_page_is_refused(api: Api, of: str) -> None:
    actor = await api.actor()
    await api.kit.project(actor)
    await api.kit.ready(actor)
    (made,) = (await api.ok("GET", "/v1/projects/blog/deployments"))["items"]
    for cursor in ("", "none", "dpl_none", f"tok_{'0' * 26}", "%00", "1.2.3"):
        found = await problem(api, "GET", f"/v1/{of.format(id=made['id'])}?cursor={cursor}")
        assert (found["status"], found["code"], found["field"]) == (422, "invalid_cursor", "cursor")


async def test_405_names_what_is_allowed(api: Api) -> None:
    assert (await api.ask("PUT", "/v1/me")).headers["allow"] == "GET"


async def test_401_says_how(api: Api) -> None:
    answer = await api.ask("GET", "/v1/me", token="")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "smp_" in answer.json()["hint"]


class TestBodies:
    async def test_malformed_json_says_where(self, api: Api) -> None:
        found = await problem(api, "POST", "/v1/projects", content=b'{"name":\n ')
        assert (found["status"], found["code"]) == (400, "malformed_json")
        assert "line 2" in str(found["hint"])

    async def test_no_body(self, api: Api) -> None:
        assert (await problem(api, "POST", "/v1/projects"))["code"] == "malformed_json"

    async def test_not_utf8(self, api: Api) -> None:
        found = await problem(api, "POST", "/v1/projects", content=b'{"name": "\xff"}')
        assert found["status"] in {400, 422}

    async def test_unknown_field_is_named(self, api: Api) -> None:
        found = await problem(api, "POST", "/v1/projects", json={"name": "a", "nmae": "b"})
        assert (found["status"], found["field"]) == (422, "nmae")

    async def test_missing_field_is_named(self, api: Api) -> None:
        found = await problem(api, "POST", "/v1/projects", json={})
        assert "`name`" in str(found["detail"])

    async def test_wrong_type_is_named(self, api: Api) -> None:
        found = await problem(api, "POST", "/v1/projects", json={"name": 7})
        assert (found["status"], found["field"]) == (422, "name")

    async def test_unknown_choice(self, api: Api) -> None:
        await api.kit.project(await api.actor())
        found = await problem(api, "POST", "/v1/projects/blog/deployments", json={"target": "prodction"})
        assert (found["status"], found["field"]) == (422, "target")

    async def test_too_large_by_its_length(self, api: Api) -> None:
        headers = {"Content-Length": str(MAX_BODY_BYTES + 1)}
        found = await problem(api, "POST", "/v1/projects", content=b"{}", headers=headers)
        assert (found["status"], found["code"]) == (413, "body_too_large")

    async def test_too_large_while_it_comes(self, api: Api) -> None:
        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield b" " * 65536

        assert (await problem(api, "POST", "/v1/projects", content=endless()))["status"] == 413


async def test_too_many_attempts_say_when_to_come_back(api: Api) -> None:
    for _ in range(5):
        await api.ask("POST", "/v1/auth/login", token="", json={"email": "a@b.c", "password": "wrong password"})
    answer = await api.ask("POST", "/v1/auth/login", token="", json={"email": "a@b.c", "password": "wrong password"})
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0


async def test_unexpected_error_tells_nothing(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_: object) -> None:
        raise ValueError("a secret")

    monkeypatch.setattr(api.kit.accounts, "teams_of", broken)
    found = await problem(api, "GET", "/v1/me")
    assert (found["status"], found["code"]) == (500, "internal_error")
    assert "secret" not in str(found)


async def test_viewer_may_not_write(api: Api) -> None:
    viewer = await token_of(api.kit, "acme", Role.VIEWER)
    found = await problem(api, "POST", "/v1/projects", token=viewer, json={"name": "a"})
    assert (found["status"], found["code"]) == (403, "role_too_low")


async def test_read_token_may_not_write(api: Api) -> None:
    reader = await token_of(api.kit, "acme", scope="read")
    found = await problem(api, "POST", "/v1/projects", token=reader, json={"name": "a"})
    assert (found["status"], found["code"]) == (403, "token_read_only")


async def test_readyz_says_when_it_stops(api: Api, services: Services) -> None:
    assert (await api.ask("GET", "/readyz", token="")).status_code == 200
    services.stopping.set()
    assert (await api.ask("GET", "/readyz", token="")).status_code == 503
