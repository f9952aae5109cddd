"""Who acts, and whether they may: role × scope → actions."""

from dataclasses import dataclass
from typing import Literal, Protocol

from scalemesh.db.tables import Role
from scalemesh.errors import Forbidden, NotFound

Scope = Literal["full", "read"]
Via = Literal["session", "token", "system"]

_READ = frozenset({"project:read", "deployment:read", "env:read", "token:read", "team:read"})
_DEVELOP = frozenset({"project:write", "deployment:write", "env:write", "token:write"})
_OWN = frozenset({"project:delete", "team:write"})
_ALLOWED: dict[Role, frozenset[str]] = {
    Role.VIEWER: _READ | {"token:write"},  # a token never gives more than its user's role
    Role.DEVELOPER: _READ | _DEVELOP,
    Role.OWNER: _READ | _DEVELOP | _OWN,
}


@dataclass(frozen=True)
class Actor:
    """One user in one team, for one request. `user_id` is None for the platform itself."""

    user_id: str | None
    team_id: str
    team_slug: str
    role: Role
    scope: Scope = "full"
    via: Via = "session"


class OfTeam(Protocol):
    """Anything that belongs to a team."""

    @property
    def team_id(self) -> str: ...


def system_actor(team_id: str, team_slug: str) -> Actor:
    """The platform itself, acting in a team."""
    return Actor(None, team_id, team_slug, Role.OWNER, via="system")


def authorize(actor: Actor, action: str, resource: OfTeam | None = None) -> None:
    """Raises NotFound for another team's resource, Forbidden where the role or the token's scope does not allow."""
    if resource is not None and resource.team_id != actor.team_id:
        raise NotFound("No such thing in this team.")
    if action not in _ALLOWED[Role(actor.role)]:
        raise Forbidden(
            f"The role {actor.role} does not allow {action}.",
            code="role_too_low",
            hint="Ask an owner of the team for a higher role.",
        )
    if actor.scope == "read" and action not in _READ:
        raise Forbidden(
            "This token may only read.", code="token_read_only", hint="Use a token made with the scope `full`."
        )
