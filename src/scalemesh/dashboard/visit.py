"""One request for one page: who asks, what they sent, and how to answer."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from scalemesh.accounts import Actor
from scalemesh.accounts.views import TeamView, UserView
from scalemesh.dashboard import render
from scalemesh.dashboard.forms import Form
from scalemesh.dashboard.notices import NOTICES
from scalemesh.errors import ScaleMeshError


@dataclass(frozen=True)
class Visit:
    """A request of anybody's. `form` is empty unless it is a POST."""

    request: Request
    form: Form = field(default_factory=lambda: Form({}))

    def part(self, name: str) -> str:
        """A piece of the path."""
        return str(self.request.path_params[name])

    def query(self, name: str) -> str:
        return self.request.query_params.get(name, "")

    def page(self, template: str, status: int = 200, **context: Any) -> Response:
        return render.html(template, status, notice=NOTICES.get(self.query("notice")), **context)

    def again(self, template: str, error: ScaleMeshError, **context: Any) -> Response:
        """The form once more, with what was typed and what was wrong."""
        return self.page(template, error.status, error=error, **context)

    def go(self, path: str, notice: str = "") -> Response:
        """To another page, by GET. `notice` is a key of NOTICES."""
        return RedirectResponse(f"{path}?{urlencode({'notice': notice})}" if notice else path, 303)


@dataclass(frozen=True)
class MemberVisit(Visit):
    """A request of somebody signed in, in one of their teams."""

    actor: Actor = field(kw_only=True)
    user: UserView = field(kw_only=True)
    teams: list[TeamView] = field(kw_only=True)

    def page(self, template: str, status: int = 200, **context: Any) -> Response:
        team = next((team for team in self.teams if team.id == self.actor.team_id), None)
        can_write = self.actor.role != "viewer"
        shared = {"user": self.user, "teams": self.teams, "team": team, "can_write": can_write}
        return super().page(template, status, path=self.request.url.path, **shared, **context)
