"""API tokens: made, looked up by hash, revoked. Functions over a session; Accounts owns the transactions."""

from collections.abc import Sequence

from sqlalchemy import CursorResult, delete, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from scalemesh.accounts.actor import Actor, Scope
from scalemesh.core.ids import new_id, new_secret, secret_hash
from scalemesh.db.tables import ApiToken, Membership, Role, Team
from scalemesh.errors import InvalidInput, Unauthenticated

_DAY_MS = 24 * 3600 * 1000
_MAX_DAYS = 3650
_TOUCH_EVERY_MS = 60_000  # last_used_at is that exact: not one write per request


def expiry(now: int, name: str, scope: str, days: int | None) -> int | None:
    """When a token with these properties ends; raises InvalidInput where one of them is wrong."""
    if not 0 < len(name.strip()) <= 100:
        raise InvalidInput("A token's name has 1 to 100 characters.", field="name")
    if scope not in {"full", "read"}:
        raise InvalidInput(f"No scope {scope!r}: full or read.", field="scope")
    if days is not None and not 0 < days <= _MAX_DAYS:
        raise InvalidInput(f"A token lasts 1 to {_MAX_DAYS} days.", field="expires_in_days")
    return None if days is None else now + days * _DAY_MS


def new(
    session: AsyncSession, user_id: str, team_id: str, name: str, scope: Scope, now: int, expires_at: int | None
) -> tuple[ApiToken, str]:
    secret = new_secret("smp")
    row = ApiToken(
        id=new_id("tok"),
        secret_hash=secret_hash(secret),
        hint=secret[-4:],
        name=name.strip(),
        user_id=user_id,
        team_id=team_id,
        scope=scope,
        created_at=now,
        expires_at=expires_at,
        last_used_at=None,
    )
    session.add(row)
    return row, secret


async def actor(session: AsyncSession, secret: str, now: int) -> tuple[Actor, bool]:
    """The actor that a token stands for, and whether its last use is worth writing down."""
    query = (
        select(ApiToken, Team, Membership.role)
        .join(Team, Team.id == ApiToken.team_id)
        .join(Membership, (Membership.team_id == ApiToken.team_id) & (Membership.user_id == ApiToken.user_id))
        .where(ApiToken.secret_hash == secret_hash(secret))
    )
    found = (await session.execute(query)).first()
    if found is None or (found[0].expires_at or now + 1) <= now:
        raise Unauthenticated(
            "That token is not valid.",
            code="invalid_token",
            hint="Make a new one in the dashboard, or `scalemesh login`.",
        )
    token, team, role = found
    scope: Scope = "read" if token.scope == "read" else "full"
    who = Actor(token.user_id, team.id, team.slug, Role(role), scope=scope, via="token")
    return who, (token.last_used_at or 0) + _TOUCH_EVERY_MS <= now


async def touch(session: AsyncSession, secret: str, now: int) -> None:
    await session.execute(update(ApiToken).where(ApiToken.secret_hash == secret_hash(secret)).values(last_used_at=now))


async def of(session: AsyncSession, actor: Actor) -> Sequence[ApiToken]:
    query = select(ApiToken).where(ApiToken.user_id == actor.user_id, ApiToken.team_id == actor.team_id)
    return (await session.scalars(query.order_by(ApiToken.id.desc()))).all()


async def delete_own(session: AsyncSession, actor: Actor, token_id: str) -> bool:
    own = (ApiToken.id == token_id, ApiToken.user_id == actor.user_id, ApiToken.team_id == actor.team_id)
    result = await session.execute(delete(ApiToken).where(*own))
    return isinstance(result, CursorResult) and result.rowcount == 1
