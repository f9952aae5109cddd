"""Role × scope → actions; another team's thing is not there."""

from dataclasses import dataclass

import pytest

from scalemesh.accounts import Actor, authorize
from scalemesh.accounts.actor import Scope
from scalemesh.db.tables import Role
from scalemesh.errors import Forbidden, NotFound


@dataclass
class Thing:
    team_id: str


def actor(role: Role, scope: Scope = "full") -> Actor:
    return Actor("usr_1", "team_1", "one", role, scope=scope)


@pytest.mark.parametrize(
    ("role", "action"),
    [
        (Role.VIEWER, "project:read"),
        (Role.VIEWER, "deployment:read"),
        (Role.DEVELOPER, "deployment:write"),
        (Role.DEVELOPER, "env:write"),
        (Role.OWNER, "project:delete"),
        (Role.OWNER, "team:write"),
    ],
)
def test_allowed(role: Role, action: str) -> None:
    authorize(actor(role), action, Thing("team_1"))


@pytest.mark.parametrize(
    ("role", "action"),
    [
        (Role.VIEWER, "project:write"),
        (Role.VIEWER, "deployment:write"),
        (Role.VIEWER, "env:write"),
        (Role.DEVELOPER, "project:delete"),
        (Role.DEVELOPER, "team:write"),
        (Role.OWNER, "no:such:action"),
    ],
)
def test_forbidden(role: Role, action: str) -> None:
    with pytest.raises(Forbidden):
        authorize(actor(role), action)


@pytest.mark.parametrize("action", ["project:write", "deployment:write", "env:write", "token:write", "team:write"])
def test_read_token_only_reads(action: str) -> None:
    authorize(actor(Role.OWNER, "read"), "project:read")
    with pytest.raises(Forbidden, match="only read"):
        authorize(actor(Role.OWNER, "read"), action)


def test_another_team_is_not_found_before_it_is_forbidden() -> None:
    with pytest.raises(NotFound):
        authorize(actor(Role.VIEWER), "project:delete", Thing("team_2"))
