"""What the API shows of users, teams and tokens."""

import msgspec

from scalemesh.core.clock import rfc3339
from scalemesh.db.tables import ApiToken, Team, User


class UserView(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    email: str


class TeamView(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    slug: str
    name: str
    role: str | None = None


class TokenView(msgspec.Struct, frozen=True, kw_only=True):
    """`hint` is the end of the secret, to tell tokens apart; the secret itself is shown once, when it is made."""

    id: str
    name: str
    hint: str
    scope: str
    created_at: str
    expires_at: str | None
    last_used_at: str | None


def user_view(user: User) -> UserView:
    return UserView(id=user.id, email=user.email)


def team_view(team: Team, role: str | None = None) -> TeamView:
    return TeamView(id=team.id, slug=team.slug, name=team.name, role=role)


def token_view(token: ApiToken) -> TokenView:
    return TokenView(
        id=token.id,
        name=token.name,
        hint=token.hint,
        scope=token.scope,
        created_at=rfc3339(token.created_at),
        expires_at=time_or_none(token.expires_at),
        last_used_at=time_or_none(token.last_used_at),
    )


def time_or_none(ms: int | None) -> str | None:
    return None if ms is None else rfc3339(ms)
