"""Who asks: a person (session cookie or API token), an agent (build token), an edge (edge token)."""

from typing import Annotated

from fastapi import Depends, Security
from fastapi.security import APIKeyCookie, HTTPBearer
from starlette.requests import HTTPConnection

from scalemesh.accounts import Actor
from scalemesh.api.services import Services, Wired
from scalemesh.errors import Unauthenticated

TEAM_HEADER = "X-Scalemesh-Team"
TEAM_COOKIE = "scalemesh_team"  # the dashboard's choice: a browser's WebSocket cannot send headers

# For /openapi.json alone: these say which secrets a route takes, `_actor` and its neighbours read them.
_TOKEN = HTTPBearer(scheme_name="token", description="An API token, `smp_…`.", auto_error=False)
_SESSION = APIKeyCookie(name="scalemesh", scheme_name="session", description="Set by sign-in.", auto_error=False)
_BUILD = HTTPBearer(scheme_name="build", description="The token of one attempt, `smb_…`.", auto_error=False)
_EDGE = HTTPBearer(scheme_name="edge", description="The token of an edge, `sme_…`.", auto_error=False)


async def actor_of(connection: HTTPConnection, services: Services) -> Actor:
    """The actor that the request's token or session stands for. Raises Unauthenticated."""
    if "authorization" in connection.headers:
        return await services.accounts.actor_for_token(bearer(connection))
    secret = connection.cookies.get(services.session_cookie)
    if not secret:
        raise Unauthenticated(
            "Sign in, or send an API token.", code="unauthenticated", hint="Authorization: Bearer smp_…"
        )
    team = connection.headers.get(TEAM_HEADER) or connection.cookies.get(TEAM_COOKIE)
    return await services.accounts.actor_for_session(secret, team)


def bearer(connection: HTTPConnection) -> str:
    """The token of the Authorization header. Raises Unauthenticated."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("This needs a token.", code="unauthenticated", hint="Authorization: Bearer …")
    return token.strip()


async def _actor(connection: HTTPConnection, services: Wired) -> Actor:
    return await actor_of(connection, services)


async def _bearer(connection: HTTPConnection) -> str:
    return bearer(connection)


async def _edge(services: Wired, token: Annotated[str, Depends(_bearer)]) -> str:
    return await services.deployments.routes.authenticate(token)


async def _peer(connection: HTTPConnection) -> str:
    return connection.client.host if connection.client else ""


Acting = Annotated[Actor, Depends(_actor)]
"""A route's first parameter, so that nobody learns anything before we know who asks."""
BuildToken = Annotated[str, Depends(_bearer)]
EdgeId = Annotated[str, Depends(_edge)]
Peer = Annotated[str, Depends(_peer)]

BY_PERSON = [Security(_TOKEN), Security(_SESSION)]
BY_AGENT = [Security(_BUILD)]
BY_EDGE = [Security(_EDGE)]
