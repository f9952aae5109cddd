"""Who is asking: the session cookie, the chosen team, and whether a write comes from our own pages."""

from fastapi import Request, Response

from scalemesh.accounts import Actor
from scalemesh.accounts.service import SESSION_MS
from scalemesh.dashboard.services import Services
from scalemesh.errors import Forbidden, NotFound, Unauthenticated

TEAM_COOKIE = "scalemesh_team"


def require_own_origin(request: Request, services: Services) -> None:
    """Raises Forbidden unless the browser says that a page of ours sent this: browsers always do, for a write."""
    headers = request.headers
    if not services.is_own_origin(headers.get("origin", ""), headers.get("host", "")):
        raise Forbidden(
            "That form did not come from this dashboard.",
            code="foreign_origin",
            hint=f"Open {services.url} and try again from there.",
        )


async def actor_of(request: Request, services: Services) -> Actor:
    """The signed-in user in the team of their choice, or in their oldest where that choice no longer stands."""
    secret = request.cookies.get(services.session_cookie)
    if not secret:
        raise Unauthenticated("Sign in first.", code="signed_out")
    try:
        return await services.accounts.actor_for_session(secret, request.cookies.get(TEAM_COOKIE))
    except NotFound:
        return await services.accounts.actor_for_session(secret)


def remember(response: Response, secret: str, services: Services) -> None:
    _set(response, services.session_cookie, secret, services)


def choose_team(response: Response, slug: str, services: Services) -> None:
    _set(response, TEAM_COOKIE, slug, services)


def drop_stale_team(response: Response, request: Request, actor: Actor, services: Services) -> None:
    """A choice that no longer stands is forgotten: the API reads the cookie, too."""
    if request.cookies.get(TEAM_COOKIE, actor.team_slug) != actor.team_slug:
        _delete(response, TEAM_COOKIE, services)


def forget(response: Response, services: Services) -> None:
    for name in (services.session_cookie, TEAM_COOKIE):
        _delete(response, name, services)


def local_path(target: str) -> str:
    """`target` where it leads to a page of ours, else the start page: never to another host."""
    safe = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if safe else "/"


def _set(response: Response, name: str, value: str, services: Services) -> None:
    """Not readable by scripts, not sent along by other sites' writes."""
    response.set_cookie(
        name,
        value,
        max_age=SESSION_MS // 1000,
        path="/",
        secure=_is_https(services),
        httponly=True,
        samesite="lax",
    )


def _delete(response: Response, name: str, services: Services) -> None:
    response.delete_cookie(name, path="/", secure=_is_https(services), httponly=True, samesite="lax")


def _is_https(services: Services) -> bool:
    return services.url.startswith("https://")
