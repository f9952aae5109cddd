"""Before one is in: set-up by the one-time link, sign in and out, choice of team."""

from fastapi import Response

from scalemesh.dashboard import access
from scalemesh.dashboard.forms import Values
from scalemesh.dashboard.services import Services
from scalemesh.dashboard.visit import MemberVisit, Visit
from scalemesh.errors import Conflict, Forbidden, InvalidInput, ScaleMeshError, TooManyRequests, Unauthenticated


class GatePages:
    def __init__(self, services: Services) -> None:
        self._services = services
        self._accounts = services.accounts

    async def setup_form(self, visit: Visit) -> Response:
        if not await self._accounts.needs_setup():
            return visit.go("/login")
        return visit.page("setup.html", error=None, values=Values(token=visit.query("token")))

    async def setup(self, visit: Visit) -> Response:
        form = visit.form
        email, password = form.text("email"), form["password"]
        try:
            await self._accounts.setup(form.text("token"), email, password, form.text("team"))
        except Conflict:
            return visit.go("/login")
        except (InvalidInput, Forbidden) as error:
            return visit.again("setup.html", error, values=form.given())
        return await self._enter(visit, email, password, "/")

    async def login_form(self, visit: Visit) -> Response:
        if await self._accounts.needs_setup():
            return visit.page("not-set-up.html")
        if await self._is_in(visit):
            return visit.go(access.local_path(visit.query("next")))
        return visit.page("login.html", error=None, values=Values(next=visit.query("next")))

    async def login(self, visit: Visit) -> Response:
        form = visit.form
        try:
            return await self._enter(visit, form.text("email"), form["password"], access.local_path(form["next"]))
        except (Unauthenticated, TooManyRequests) as error:
            return visit.again("login.html", error, values=form.given())

    async def logout(self, visit: Visit) -> Response:
        secret = visit.request.cookies.get(self._services.session_cookie)
        if secret:
            await self._accounts.logout(secret)
        answer = visit.go("/login", "signed-out")
        access.forget(answer, self._services)
        return answer

    async def choose_team(self, visit: MemberVisit) -> Response:
        answer = visit.go("/")
        if visit.form.text("team") in {team.slug for team in visit.teams}:
            access.choose_team(answer, visit.form.text("team"), self._services)
        return answer

    async def _enter(self, visit: Visit, email: str, password: str, to: str) -> Response:
        peer = visit.request.client.host if visit.request.client else ""
        secret = await self._accounts.login(email, password, peer)
        answer = visit.go(to)
        access.remember(answer, secret, self._services)
        return answer

    async def _is_in(self, visit: Visit) -> bool:
        try:
            await access.actor_of(visit.request, self._services)
        except ScaleMeshError:
            return False
        return True
