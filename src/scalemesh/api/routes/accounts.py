"""`setup`, `auth/login`, `auth/logout`, `me`, `tokens`."""

from typing import Annotated, Literal

import msgspec
from fastapi import Request
from starlette.responses import Response

from scalemesh.accounts import Actor
from scalemesh.accounts.service import SESSION_MS
from scalemesh.accounts.views import TeamView, TokenView, UserView
from scalemesh.api.documents import body, v1
from scalemesh.api.identity import BY_PERSON, Acting, Peer
from scalemesh.api.services import Services, Wired
from scalemesh.core.documents import Document
from scalemesh.core.page import Page

router = v1()


class Setup(Document, frozen=True):
    """`token` is the one that the first start prints; `team` the first team's name."""

    token: str
    email: str
    password: str
    team: str


class SetupDone(msgspec.Struct, frozen=True, kw_only=True):
    user: UserView
    team: TeamView
    token: str


class Login(Document, frozen=True):
    email: str
    password: str


class NewToken(Document, frozen=True):
    name: str
    scope: Literal["full", "read"] = "full"
    expires_in_days: int | None = None


class MadeToken(TokenView, frozen=True, kw_only=True):
    """`token` is the secret itself: it is shown this once."""

    token: str


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """`team` is the one that this request acts in, with our role in it."""

    user: UserView
    team: TeamView
    teams: list[TeamView]
    scope: str


@router.post("/setup", status_code=201)
async def setup(services: Wired, new: Annotated[Setup, body(Setup)]) -> SetupDone:
    """Make the first administrator. Works once."""
    user, team, token = await services.accounts.setup(new.token, new.email, new.password, new.team)
    return SetupDone(user=user, team=team, token=token)


@router.post("/auth/login")
async def login(services: Wired, peer: Peer, given: Annotated[Login, body(Login)]) -> Response:
    """Sign in: the answer sets the session cookie."""
    secret = await services.accounts.login(given.email, given.password, peer)
    actor = await services.accounts.actor_for_session(secret)
    response = Response(msgspec.json.encode(await _me(services, actor)), media_type="application/json")
    response.set_cookie(
        services.session_cookie,
        secret,
        max_age=SESSION_MS // 1000,
        path="/",
        secure=services.is_https,
        httponly=True,
        samesite="lax",
    )
    return response


@router.post("/auth/logout", status_code=204, dependencies=BY_PERSON)
async def logout(actor: Acting, services: Wired, request: Request) -> Response:
    """End the session of the cookie."""
    if actor.via == "session":
        await services.accounts.logout(request.cookies[services.session_cookie])
    response = Response(status_code=204)
    response.delete_cookie(services.session_cookie, path="/", secure=services.is_https, httponly=True, samesite="lax")
    return response


@router.get("/me", dependencies=BY_PERSON)
async def me(actor: Acting, services: Wired) -> Me:
    """Who we are, and in which team."""
    return await _me(services, actor)


@router.get("/tokens", dependencies=BY_PERSON)
async def list_tokens(actor: Acting, services: Wired) -> Page[TokenView]:
    """Our own API tokens in this team."""
    return Page(await services.accounts.list_tokens(actor))


@router.post("/tokens", status_code=201, dependencies=BY_PERSON)
async def create_token(actor: Acting, services: Wired, new: Annotated[NewToken, body(NewToken)]) -> MadeToken:
    """Make an API token for this team."""
    view, secret = await services.accounts.create_token(actor, new.name, new.scope, new.expires_in_days)
    return MadeToken(**msgspec.structs.asdict(view), token=secret)


@router.delete("/tokens/{token}", status_code=204, dependencies=BY_PERSON)
async def revoke_token(actor: Acting, services: Wired, token: str) -> None:
    """Revoke one of our API tokens, at once."""
    await services.accounts.revoke_token(actor, token)


async def _me(services: Services, actor: Actor) -> Me:
    user = await services.accounts.user(actor.user_id or "")
    teams = await services.accounts.teams_of(user.id)
    team = next(team for team in teams if team.id == actor.team_id)
    return Me(user=user, team=team, teams=teams, scope=actor.scope)
