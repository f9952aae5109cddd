"""Host, Origin, cookies and headers: what every answer of this process goes through."""

import dataclasses

import httpx
import pytest

from scalemesh.api import Services, create_app
from tests.integration.api.conftest import URL, Api

EMAIL, PASSWORD = "ada@example.org", "a long password"


async def sign_up(api: Api) -> None:
    token = await api.kit.accounts.first_run()
    await api.kit.accounts.setup(token or "", EMAIL, PASSWORD, "First")


async def sign_in(api: Api) -> None:
    """The client keeps the cookie."""
    answer = await api.ask("POST", "/v1/auth/login", token="", json={"email": EMAIL, "password": PASSWORD})
    assert answer.status_code == 200, answer.text


class TestHost:
    @pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "[", "demo.localhost:8000"])
    async def test_unknown_name_is_refused(self, api: Api, host: str) -> None:
        answer = await api.ask("GET", "/v1/me", headers={"Host": host})
        assert (answer.status_code, answer.json()["code"]) == (421, "unknown_host")

    @pytest.mark.parametrize("host", ["localhost", "localhost:8000", "LOCALHOST:1"])
    async def test_own_name(self, api: Api, host: str) -> None:
        assert (await api.ask("GET", "/v1/me", headers={"Host": host})).status_code == 200

    async def test_probes_come_by_address(self, api: Api) -> None:
        assert (await api.ask("GET", "/healthz", headers={"Host": "10.0.0.7:8000"})).status_code == 200


class TestOrigin:
    @pytest.mark.parametrize(
        "origin", ["https://evil.example", "null", "http://localhost:8001", "http://demo.localhost:8000"]
    )
    async def test_foreign_write_is_refused(self, api: Api, origin: str) -> None:
        """With a token, too: no page of somebody else's has one of ours."""
        answer = await api.ask("POST", "/v1/projects", json={"name": "a"}, headers={"Origin": origin})
        assert (answer.status_code, answer.json()["code"]) == (403, "foreign_origin")

    async def test_cookie_without_origin_is_refused(self, api: Api) -> None:
        await sign_up(api)
        await sign_in(api)
        assert (await api.ask("POST", "/v1/projects", token="", json={"name": "a"})).status_code == 403

    async def test_cookie_with_own_origin(self, api: Api) -> None:
        await sign_up(api)
        await sign_in(api)
        answer = await api.ask("POST", "/v1/projects", token="", json={"name": "a"}, headers={"Origin": URL})
        assert answer.status_code == 201

    async def test_reading_with_a_cookie_needs_none(self, api: Api) -> None:
        await sign_up(api)
        await sign_in(api)
        assert (await api.ask("GET", "/v1/me", token="")).json()["user"]["email"] == EMAIL

    async def test_foreign_sign_in_is_refused(self, api: Api) -> None:
        """Nobody signs a browser in as somebody else."""
        await sign_up(api)
        body = {"email": EMAIL, "password": PASSWORD}
        headers = {"Origin": "https://evil.example"}
        assert (await api.ask("POST", "/v1/auth/login", token="", json=body, headers=headers)).status_code == 403


class TestSession:
    async def test_cookie_is_out_of_reach_of_scripts(self, api: Api) -> None:
        await sign_up(api)
        answer = await api.ask("POST", "/v1/auth/login", token="", json={"email": EMAIL, "password": PASSWORD})
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("scalemesh=")
        assert {"HttpOnly", "Path=/", "SameSite=lax"} <= {part.strip() for part in cookie.split(";")}

    async def test_https_ties_it_to_this_host(self, api: Api, services: Services) -> None:
        await sign_up(api)
        secure = dataclasses.replace(services, url="https://mesh.example", hosts=frozenset({"mesh.example"}))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(create_app(secure))) as http:
            body = {"email": EMAIL, "password": PASSWORD}
            answer = await http.post("https://mesh.example/v1/auth/login", json=body)
        assert answer.headers["set-cookie"].startswith("__Host-scalemesh=")
        assert "Secure" in answer.headers["set-cookie"]
        assert "strict-transport-security" in answer.headers

    async def test_sign_out_ends_it(self, api: Api) -> None:
        await sign_up(api)
        await sign_in(api)
        secret = api.http.cookies["scalemesh"]
        assert (await api.ask("POST", "/v1/auth/logout", token="", headers={"Origin": URL})).status_code == 204
        assert "scalemesh" not in api.http.cookies
        api.http.cookies.set("scalemesh", secret)
        assert (await api.ask("GET", "/v1/me", token="")).status_code == 401

    async def test_team_by_header(self, api: Api) -> None:
        await sign_up(api)
        await sign_in(api)
        found = await api.ask("GET", "/v1/me", token="", headers={"X-Scalemesh-Team": "first"})
        assert found.json()["team"]["slug"] == "first"
        other = await api.ask("GET", "/v1/me", token="", headers={"X-Scalemesh-Team": "acme"})
        assert other.status_code == 404


class TestAnswers:
    async def test_security_headers(self, api: Api) -> None:
        headers = (await api.ask("GET", "/v1/me")).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]

    async def test_request_id_is_taken_over_or_made(self, api: Api) -> None:
        given = await api.ask("GET", "/v1/me", headers={"X-Request-Id": "trace-12345"})
        made = await api.ask("GET", "/v1/me", headers={"X-Request-Id": "no\tgood"})
        assert given.headers["x-request-id"] == "trace-12345"
        assert len(made.headers["x-request-id"]) == 16


class TestMetrics:
    async def test_local_program(self, api: Api) -> None:
        await api.ok("GET", "/v1/me")
        text = (await api.ask("GET", "/metrics", token="")).text
        assert 'scalemesh_http_requests_total{method="GET",route="/v1/me",status="200"} 1' in text
        assert 'scalemesh_deployments{state="queued"} 0' in text

    async def test_through_a_proxy_needs_a_token(self, api: Api) -> None:
        headers = {"X-Forwarded-For": "203.0.113.9"}
        assert (await api.ask("GET", "/metrics", token="", headers=headers)).status_code == 401
        assert (await api.ask("GET", "/metrics", headers=headers)).status_code == 200
