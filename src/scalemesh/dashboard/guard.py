"""Around every page: who may see it, what a write must show, and errors as pages that say what to do next."""

from collections.abc import Awaitable, Callable
from typing import TypeVar
from urllib.parse import urlencode

import structlog
from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from scalemesh.dashboard import access, forms
from scalemesh.dashboard.render import page_for_error
from scalemesh.dashboard.services import Services
from scalemesh.dashboard.visit import MemberVisit, Visit
from scalemesh.errors import BuildFailed, NotFound, ScaleMeshError, Unauthenticated, Unavailable

V = TypeVar("V", bound=Visit)
Endpoint = Callable[[Request], Awaitable[Response]]

log = structlog.get_logger()


class Guard:
    """Makes endpoints of page handlers."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def open(self, handler: Callable[[Visit], Awaitable[Response]]) -> Endpoint:
        """For anybody."""

        async def endpoint(request: Request) -> Response:
            return await _answer(request, lambda: self._visit(request), handler)

        return endpoint

    def member(self, handler: Callable[[MemberVisit], Awaitable[Response]]) -> Endpoint:
        """For somebody signed in; anybody else is sent to sign in and back."""

        async def answer(visit: MemberVisit) -> Response:
            given = await handler(visit)
            access.drop_stale_team(given, visit.request, visit.actor, self._services)
            return given

        async def endpoint(request: Request) -> Response:
            return await _answer(request, lambda: self._member(request), answer)

        return endpoint

    async def _visit(self, request: Request) -> Visit:
        if request.method != "POST":
            return Visit(request)
        access.require_own_origin(request, self._services)
        return Visit(request, await forms.read(request))

    async def _member(self, request: Request) -> MemberVisit:
        accounts = self._services.accounts
        visit = await self._visit(request)
        actor = await access.actor_of(request, self._services)
        if actor.user_id is None:
            raise Unauthenticated("Sign in first.")
        user, teams = await accounts.user(actor.user_id), await accounts.teams_of(actor.user_id)
        return MemberVisit(request, visit.form, actor=actor, user=user, teams=list(teams))


async def _answer(
    request: Request, open_visit: Callable[[], Awaitable[V]], handler: Callable[[V], Awaitable[Response]]
) -> Response:
    try:
        return await handler(await open_visit())
    except Unauthenticated:
        return _sign_in(request)
    except ScaleMeshError as error:
        return error_page(error)
    except Exception:  # whatever it is, a person must get a page; the log has the rest
        log.exception("page_failed", method=request.method, path=request.url.path)
        return page_for_error(500, "Something went wrong", "This page failed. The server's log says why.", "Try again.")


def _sign_in(request: Request) -> Response:
    path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    back = {"next": path} if request.method == "GET" and path != "/" else {}
    return RedirectResponse(f"/login?{urlencode(back)}" if back else "/login", 303)


def error_page(error: ScaleMeshError) -> Response:
    if isinstance(error, NotFound):
        return page_for_error(404, "Nothing here", error.message, "It may be gone, or belong to another team.")
    if isinstance(error, BuildFailed):
        return page_for_error(422, error.title, error.message, error.hint)
    if isinstance(error, Unavailable):
        return page_for_error(error.status, error.title, error.message, error.hint or "Try again in a moment.")
    return page_for_error(error.status, error.title, error.message, error.hint)
