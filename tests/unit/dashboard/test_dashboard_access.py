"""Who gets in, and what a write must show."""

import httpx
import pytest

from scalemesh.accounts.views import TeamView
from scalemesh.dashboard.access import local_path
from tests.unit.dashboard.memory_services import MemoryServices

DEMO = TeamView(id="team_2", slug="demo", name="Demo", role="owner")


async def test_a_stranger_is_sent_to_sign_in_and_back(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.get("/projects/shop?cursor=x")

    assert answer.status_code == 303
    assert answer.headers["Location"] == "/login?next=%2Fprojects%2Fshop%3Fcursor%3Dx"


async def test_signing_in_sets_a_cookie_that_scripts_cannot_read(visitor: httpx.AsyncClient) -> None:
    form = {"email": "ada@example.org", "password": "correct horse", "next": "/tokens"}

    answer = await visitor.post("/login", data=form)

    assert answer.headers["Location"] == "/tokens"
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("scalemesh=secret;")
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie


async def test_a_wrong_password_says_so_and_keeps_the_address(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.post("/login", data={"email": "ada@example.org", "password": "wrong"})

    assert answer.status_code == 401
    assert 'role="alert"' in answer.text
    assert 'value="ada@example.org"' in answer.text
    assert "wrong" not in answer.text.replace("Wrong email", "")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:8001", ""])
async def test_a_write_from_elsewhere_is_refused(
    member: httpx.AsyncClient, services: MemoryServices, origin: str
) -> None:
    answer = await member.post("/projects/shop/rollback", headers={"Origin": origin})

    assert answer.status_code == 403
    assert services.deployments.calls == []


async def test_signing_out_ends_the_session_and_clears_the_cookies(
    member: httpx.AsyncClient, services: MemoryServices
) -> None:
    answer = await member.post("/logout")

    assert services.accounts.revoked == ["secret"]
    assert all("Max-Age=0" in cookie for cookie in answer.headers.get_list("Set-Cookie"))


async def test_set_up_signs_in(visitor: httpx.AsyncClient, services: MemoryServices) -> None:
    services.accounts.fresh = True
    form = {"token": "t", "email": "ada@example.org", "password": "correct horse", "team": "Acme"}

    answer = await visitor.post("/setup", data=form)

    assert answer.headers["Location"] == "/"
    assert "scalemesh=secret" in answer.headers["Set-Cookie"]


async def test_set_up_shows_what_is_wrong_beside_the_field(
    visitor: httpx.AsyncClient, services: MemoryServices
) -> None:
    services.accounts.fresh = True

    answer = await visitor.post("/setup", data={"token": "t", "email": "ada", "password": "p", "team": "Acme"})

    assert answer.status_code == 422
    assert 'aria-invalid="true"' in answer.text


async def test_the_set_up_link_works_once(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.get("/setup?token=t")

    assert answer.headers["Location"] == "/login"


async def test_before_set_up_sign_in_tells_where_the_link_is(
    visitor: httpx.AsyncClient, services: MemoryServices
) -> None:
    services.accounts.fresh = True

    assert "scalemesh up" in (await visitor.get("/login")).text


async def test_choosing_a_team_of_ones_own(member: httpx.AsyncClient, services: MemoryServices) -> None:
    services.accounts.teams = [*services.accounts.teams, DEMO]

    answer = await member.post("/team", data={"team": "demo"})

    assert answer.headers["Set-Cookie"].startswith("scalemesh_team=demo;")


async def test_choosing_somebody_elses_team_does_nothing(member: httpx.AsyncClient) -> None:
    answer = await member.post("/team", data={"team": "rivals"})

    assert "Set-Cookie" not in answer.headers


async def test_a_team_left_is_forgotten(member: httpx.AsyncClient) -> None:
    member.cookies.set("scalemesh_team", "left")

    answer = await member.get("/tokens")

    assert answer.status_code == 200
    assert 'scalemesh_team="";' in answer.headers["Set-Cookie"]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/projects/shop?x=1", "/projects/shop?x=1"),
        ("", "/"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example/", "/"),
        ("/\n/evil.example", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
def test_local_path(target: str, expected: str) -> None:
    assert local_path(target) == expected
