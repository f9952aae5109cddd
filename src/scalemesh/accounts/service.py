"""Accounts: set-up, signing in, tokens, and from a secret to an Actor."""

import hmac
import re
from collections.abc import Callable

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from scalemesh.accounts import tokens
from scalemesh.accounts.actor import Actor, Scope, authorize, system_actor
from scalemesh.accounts.passwords import (
    MAX_FAILURES_OF_PAIR,
    MAX_FAILURES_OF_PEER,
    Passwords,
    Throttle,
)
from scalemesh.accounts.views import TeamView, TokenView, UserView, team_view, token_view, user_view
from scalemesh.core.clock import now_ms
from scalemesh.core.ids import new_id, new_secret, secret_hash
from scalemesh.db import Database
from scalemesh.db.tables import Installation, Membership, Role, Session, Team, User
from scalemesh.errors import Conflict, Forbidden, InvalidInput, NotFound, Unauthenticated

SESSION_MS = 30 * 24 * 3600 * 1000
DEMO_TEAM = "demo"
_TOKEN_HASH = "setup_token_hash"  # noqa: S105  the name of a key
_COMPLETED = "setup_completed_at"
_EMAIL = re.compile(r"[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,189}")


class Accounts:
    """Safe to share; keeps nothing but the counts of failed sign-ins."""

    def __init__(self, db: Database, clock: Callable[[], int] = now_ms, passwords: Passwords | None = None) -> None:
        self._db = db
        self._clock = clock
        self._passwords = passwords or Passwords()
        self._throttle = Throttle(clock)

    async def needs_setup(self) -> bool:
        async with self._db.read() as session:
            return await session.get(Installation, _COMPLETED) is None

    async def first_run(self, fixed_token: str = "") -> str | None:
        """The token for `setup` while there is no administrator, else None.

        Only its hash is kept: without `fixed_token` every call makes a new one, and the one before it is void.
        """
        token = fixed_token or new_secret("sms")
        try:
            return await self._keep_setup_token(token)
        except IntegrityError:  # another API made the first one at this moment
            return await self._keep_setup_token(token)

    async def _keep_setup_token(self, token: str) -> str | None:
        async with self._db.write() as session:
            if await session.get(Installation, _COMPLETED):
                return None
            await session.merge(Installation(key=_TOKEN_HASH, value=secret_hash(token)))
        return token

    async def setup(
        self, token: str, email: str, password: str, team: str, peer: str = ""
    ) -> tuple[UserView, TeamView, str]:
        """Makes the first administrator, their team and an API token for them; once. Adopts the demo's team."""
        await self._check_setup_token(token, peer)
        address, slug, name = parse_email(email), parse_team(team), team.strip()
        password_hash = await self._passwords.hash(password)
        now = self._clock()
        async with self._db.write() as session:
            await self._complete_setup(session, token, now)
            user = User(id=new_id("usr"), email=address, password_hash=password_hash, created_at=now)
            session.add(user)
            await session.flush()
            owned = await self._team(session, slug, name, now)
            demo = await session.scalar(select(Team).where(Team.slug == DEMO_TEAM))
            for each in {owned.id} | ({demo.id} if demo else set()):
                session.add(Membership(user_id=user.id, team_id=each, role=Role.OWNER, created_at=now))
            _, plain = tokens.new(session, user.id, owned.id, "set-up", "full", now, None)
        return user_view(user), team_view(owned, Role.OWNER), plain

    async def login(self, email: str, password: str, peer: str = "") -> str:
        """A session secret, for the cookie. Raises Unauthenticated, or TooManyRequests for a guesser."""
        address = email.strip().lower()
        pair = f"pair:{address}:{peer}"
        limits = {pair: MAX_FAILURES_OF_PAIR, f"peer:{peer}": MAX_FAILURES_OF_PEER}
        self._throttle.check(limits)
        async with self._db.read() as session:
            user = await session.scalar(select(User).where(User.email == address))
        if not await self._passwords.verify(password, user.password_hash if user else None) or user is None:
            self._throttle.failed(limits)
            raise Unauthenticated("Wrong email or password.", code="wrong_credentials")
        self._throttle.forget(pair)
        return await self._new_session(user.id)

    async def logout(self, secret: str) -> None:
        """Ends the session; a second time does nothing."""
        async with self._db.write() as session:
            await session.execute(delete(Session).where(Session.secret_hash == secret_hash(secret)))

    async def actor_for_session(self, secret: str, team_slug: str | None = None) -> Actor:
        """The signed-in user in the team asked for, or in their oldest one."""
        async with self._db.read() as session:
            row = await session.get(Session, secret_hash(secret))
            if row is None or row.expires_at <= self._clock():
                raise Unauthenticated("Your session has ended.", code="session_ended", hint="Sign in again.")
            query = (
                select(Team, Membership.role)
                .join(Membership, Membership.team_id == Team.id)
                .where(Membership.user_id == row.user_id)
                .order_by(Membership.created_at, Team.slug == DEMO_TEAM, Team.id)
            )
            if team_slug:
                query = query.where(Team.slug == team_slug)
            found = (await session.execute(query.limit(1))).first()
        if found is None and team_slug:
            raise NotFound(f"You are in no team {team_slug!r}.", code="team_not_found")
        if found is None:
            raise Forbidden("You are in no team.", code="no_team", hint="Ask an owner to add you.")
        team, role = found
        return Actor(row.user_id, team.id, team.slug, Role(role))

    async def actor_for_token(self, secret: str) -> Actor:
        """The token's user in the token's team, with their role of now. Raises Unauthenticated."""
        now = self._clock()
        async with self._db.read() as session:
            actor, stale = await tokens.actor(session, secret, now)
        if stale:
            async with self._db.write() as session:
                await tokens.touch(session, secret, now)
        return actor

    async def create_token(
        self, actor: Actor, name: str, scope: Scope = "full", expires_in_days: int | None = None
    ) -> tuple[TokenView, str]:
        """A token of the actor's own, in the actor's team, and its secret, shown only now."""
        authorize(actor, "token:write")
        if actor.user_id is None:
            raise Forbidden("Tokens belong to people.", code="no_user")
        expires_at = tokens.expiry(self._clock(), name, scope, expires_in_days)
        async with self._db.write() as session:
            row, plain = tokens.new(session, actor.user_id, actor.team_id, name, scope, self._clock(), expires_at)
        return token_view(row), plain

    async def list_tokens(self, actor: Actor) -> list[TokenView]:
        """The actor's own tokens in this team, newest first."""
        authorize(actor, "token:read")
        async with self._db.read() as session:
            return [token_view(row) for row in await tokens.of(session, actor)]

    async def revoke_token(self, actor: Actor, token_id: str) -> None:
        """At once. Raises NotFound for anybody else's."""
        authorize(actor, "token:write")
        async with self._db.write() as session:
            if not await tokens.delete_own(session, actor, token_id):
                raise NotFound(f"No token {token_id!r}.")

    async def user(self, user_id: str) -> UserView:
        async with self._db.read() as session:
            row = await session.get(User, user_id)
        if row is None:
            raise NotFound("No such user.")
        return user_view(row)

    async def teams_of(self, user_id: str) -> list[TeamView]:
        query = (
            select(Team, Membership.role)
            .join(Membership, Membership.team_id == Team.id)
            .where(Membership.user_id == user_id)
            .order_by(Team.slug)
        )
        async with self._db.read() as session:
            return [team_view(team, role) for team, role in await session.execute(query)]

    async def ensure_team(self, slug: str, name: str) -> Actor:
        """The platform as an actor in this team, which is made if it is not there: for the demo."""
        async with self._db.write() as session:
            team = await self._team(session, parse_team(slug), name, self._clock())
            return system_actor(team.id, team.slug)

    async def _check_setup_token(self, token: str, peer: str) -> None:
        limits = {f"setup:{peer}": MAX_FAILURES_OF_PEER}
        self._throttle.check(limits)
        try:
            async with self._db.read() as session:
                await self._expect_setup_token(session, token)
        except Forbidden:
            self._throttle.failed(limits)
            raise

    async def _complete_setup(self, session: AsyncSession, token: str, now: int) -> None:
        await self._expect_setup_token(session, token)
        session.add(Installation(key=_COMPLETED, value=str(now)))
        try:
            await session.flush()
        except IntegrityError as error:  # two at once: the primary key lets one of them win
            raise _set_up_already() from error
        await session.execute(delete(Installation).where(Installation.key == _TOKEN_HASH))

    async def _expect_setup_token(self, session: AsyncSession, token: str) -> None:
        if await session.get(Installation, _COMPLETED):
            raise _set_up_already()
        stored = await session.get(Installation, _TOKEN_HASH, populate_existing=True)
        if stored is None or not hmac.compare_digest(stored.value, secret_hash(token)):
            raise Forbidden(
                "That set-up token is not valid.",
                code="wrong_setup_token",
                hint="Use the link that `scalemesh up` printed last.",
            )

    async def _team(self, session: AsyncSession, slug: str, name: str, now: int) -> Team:
        found = await session.scalar(select(Team).where(Team.slug == slug))
        if found is None:
            found = Team(id=new_id("team"), slug=slug, name=name, created_at=now)
            session.add(found)
            await session.flush()
        return found

    async def _new_session(self, user_id: str) -> str:
        secret, now = new_secret("sms"), self._clock()
        async with self._db.write() as session:
            await session.execute(delete(Session).where(Session.expires_at <= now))
            session.add(
                Session(secret_hash=secret_hash(secret), user_id=user_id, created_at=now, expires_at=now + SESSION_MS)
            )
        return secret


def _set_up_already() -> Conflict:
    return Conflict("Scale Mesh is set up already.", code="already_set_up", hint="Sign in instead.")


def parse_email(email: str) -> str:
    address = email.strip().lower()
    if not _EMAIL.fullmatch(address):
        raise InvalidInput(f"{email!r} is not an email address.", code="invalid_email", field="email")
    return address


def parse_team(name: str) -> str:
    """A team's slug from its name: `Acme Inc.` → `acme-inc`."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].strip("-")
    if not slug or len(name) > 100:
        raise InvalidInput("A team's name needs a letter or a digit, 100 characters at most.", field="team")
    return slug
