"""Set-up, signing in, tokens."""

import asyncio

import pytest

from scalemesh.accounts import Actor
from scalemesh.accounts.passwords import MAX_FAILURES_OF_PAIR, MAX_FAILURES_OF_PEER
from scalemesh.accounts.tokens import _TOUCH_EVERY_MS
from scalemesh.db.tables import Membership, Role
from scalemesh.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    ScaleMeshError,
    TooManyRequests,
    Unauthenticated,
)
from scalemesh.testing.factories import Kit

PASSWORD = "correct horse"


async def admin(kit: Kit) -> tuple[Actor, str]:
    token = await kit.accounts.first_run()
    assert token
    _, _, plain = await kit.accounts.setup(token, "ada@example.org", PASSWORD, "Acme Inc.")
    return await kit.accounts.actor_for_token(plain), plain


class TestSetup:
    async def test_makes_an_owner_with_a_token(self, kit: Kit) -> None:
        actor, _ = await admin(kit)
        assert (actor.team_slug, actor.role, actor.via, actor.scope) == ("acme-inc", "owner", "token", "full")
        assert not await kit.accounts.needs_setup()
        assert await kit.accounts.first_run() is None

    async def test_wrong_token(self, kit: Kit) -> None:
        await kit.accounts.first_run()
        with pytest.raises(Forbidden):
            await kit.accounts.setup("sms_wrong", "ada@example.org", PASSWORD, "Acme")
        assert await kit.accounts.needs_setup()

    async def test_without_first_run(self, kit: Kit) -> None:
        with pytest.raises(Forbidden):
            await kit.accounts.setup("", "ada@example.org", PASSWORD, "Acme")

    async def test_newest_token_counts(self, kit: Kit) -> None:
        first, second = await kit.accounts.first_run(), await kit.accounts.first_run()
        assert first
        assert second
        with pytest.raises(Forbidden):
            await kit.accounts.setup(first, "ada@example.org", PASSWORD, "Acme")
        await kit.accounts.setup(second, "ada@example.org", PASSWORD, "Acme")

    async def test_fixed_token(self, kit: Kit) -> None:
        assert await kit.accounts.first_run("for-automation") == "for-automation"
        await kit.accounts.setup("for-automation", "ada@example.org", PASSWORD, "Acme")

    async def test_once(self, kit: Kit) -> None:
        await kit.accounts.first_run("fixed")
        await kit.accounts.setup("fixed", "ada@example.org", PASSWORD, "Acme")
        with pytest.raises(Conflict):
            await kit.accounts.setup("fixed", "eve@example.org", PASSWORD, "Evil")

    async def test_once_also_at_once(self, kit: Kit) -> None:
        await kit.accounts.first_run("fixed")
        tries = [kit.accounts.setup("fixed", f"u{n}@example.org", PASSWORD, f"Team {n}") for n in range(4)]
        results = await asyncio.gather(*tries, return_exceptions=True)
        assert sum(not isinstance(result, BaseException) for result in results) == 1
        assert all(isinstance(r, ScaleMeshError) for r in results if isinstance(r, BaseException))

    @pytest.mark.parametrize(
        ("email", "password", "team"),
        [("ada", PASSWORD, "Acme"), ("a@b", "short", "Acme"), ("a@b", PASSWORD, "!!!"), ("a\n@b", PASSWORD, "Acme")],
    )
    async def test_bad_input_leaves_nothing(self, kit: Kit, email: str, password: str, team: str) -> None:
        await kit.accounts.first_run("fixed")
        with pytest.raises(InvalidInput):
            await kit.accounts.setup("fixed", email, password, team)
        assert await kit.accounts.needs_setup()

    async def test_adopts_the_demo(self, kit: Kit) -> None:
        await kit.accounts.ensure_team("demo", "Demo")
        actor, _ = await admin(kit)
        teams = await kit.accounts.teams_of(actor.user_id or "")
        assert [(team.slug, team.role) for team in teams] == [("acme-inc", "owner"), ("demo", "owner")]
        session = await kit.accounts.login("ada@example.org", PASSWORD)
        assert (await kit.accounts.actor_for_session(session)).team_slug == "acme-inc"
        assert (await kit.accounts.actor_for_session(session, "demo")).team_slug == "demo"


class TestSession:
    async def test_signed_in_and_out(self, kit: Kit) -> None:
        actor, _ = await admin(kit)
        secret = await kit.accounts.login(" ADA@example.org ", PASSWORD)
        found = await kit.accounts.actor_for_session(secret)
        assert (found.user_id, found.via) == (actor.user_id, "session")
        await kit.accounts.logout(secret)
        await kit.accounts.logout(secret)
        with pytest.raises(Unauthenticated):
            await kit.accounts.actor_for_session(secret)

    async def test_ends_after_thirty_days(self, kit: Kit) -> None:
        await admin(kit)
        secret = await kit.accounts.login("ada@example.org", PASSWORD)
        kit.clock.advance(seconds=30 * 24 * 3600)
        with pytest.raises(Unauthenticated):
            await kit.accounts.actor_for_session(secret)

    @pytest.mark.parametrize(("email", "password"), [("ada@example.org", "wrong"), ("nobody@example.org", PASSWORD)])
    async def test_wrong_says_the_same(self, kit: Kit, email: str, password: str) -> None:
        await admin(kit)
        with pytest.raises(Unauthenticated, match=r"^Wrong email or password\.$"):
            await kit.accounts.login(email, password)

    async def test_guesser_is_stopped_and_the_owner_is_not(self, kit: Kit) -> None:
        await admin(kit)
        for _ in range(MAX_FAILURES_OF_PAIR):
            with pytest.raises(Unauthenticated):
                await kit.accounts.login("ada@example.org", "guess", peer="203.0.113.1")
        with pytest.raises(TooManyRequests):
            await kit.accounts.login("ada@example.org", PASSWORD, peer="203.0.113.1")
        assert await kit.accounts.login("ada@example.org", PASSWORD, peer="203.0.113.2")

    async def test_team_one_is_not_in(self, kit: Kit) -> None:
        await admin(kit)
        await kit.accounts.ensure_team("other", "Other")
        secret = await kit.accounts.login("ada@example.org", PASSWORD)
        with pytest.raises(NotFound):
            await kit.accounts.actor_for_session(secret, "other")


class TestTokens:
    async def test_made_listed_revoked(self, kit: Kit) -> None:
        actor, _ = await admin(kit)
        view, plain = await kit.accounts.create_token(actor, "ci", "read", 7)
        assert (await kit.accounts.actor_for_token(plain)).scope == "read"
        assert [token.name for token in await kit.accounts.list_tokens(actor)] == ["ci", "set-up"]
        await kit.accounts.revoke_token(actor, view.id)
        with pytest.raises(Unauthenticated):
            await kit.accounts.actor_for_token(plain)

    async def test_expires(self, kit: Kit) -> None:
        actor, _ = await admin(kit)
        _, plain = await kit.accounts.create_token(actor, "ci", expires_in_days=1)
        kit.clock.advance(seconds=24 * 3600)
        with pytest.raises(Unauthenticated):
            await kit.accounts.actor_for_token(plain)

    async def test_secrets_are_not_stored(self, kit: Kit) -> None:
        _, plain = await admin(kit)
        session = await kit.accounts.login("ada@example.org", PASSWORD)
        async with kit.db.read() as opened:
            connection = await opened.connection()
            tables = ("api_tokens", "sessions", "users", "installation")
            dump = str([(await connection.exec_driver_sql(f"SELECT * FROM {table}")).all() for table in tables])
        assert plain not in dump
        assert session not in dump
        assert PASSWORD not in dump

    async def test_loses_its_power_with_the_membership(self, kit: Kit) -> None:
        actor, plain = await admin(kit)
        async with kit.db.write() as session:
            await session.delete(await session.get_one(Membership, (actor.user_id, actor.team_id)))
        with pytest.raises(Unauthenticated):
            await kit.accounts.actor_for_token(plain)

    async def test_follows_the_role_of_now(self, kit: Kit) -> None:
        actor, plain = await admin(kit)
        async with kit.db.write() as session:
            (await session.get_one(Membership, (actor.user_id, actor.team_id))).role = Role.VIEWER
        assert (await kit.accounts.actor_for_token(plain)).role == "viewer"

    async def test_anothers_token_is_not_found(self, kit: Kit) -> None:
        actor, _ = await admin(kit)
        stranger = await kit.actor(actor.team_slug)
        (token,) = await kit.accounts.list_tokens(actor)
        with pytest.raises(NotFound):
            await kit.accounts.revoke_token(stranger, token.id)

    async def test_last_use_is_written_down_now_and_then(self, kit: Kit) -> None:
        actor, plain = await admin(kit)
        (first,) = await kit.accounts.list_tokens(actor)
        await kit.accounts.actor_for_token(plain)
        (same,) = await kit.accounts.list_tokens(actor)
        kit.clock.now_ms += _TOUCH_EVERY_MS
        await kit.accounts.actor_for_token(plain)
        (later,) = await kit.accounts.list_tokens(actor)
        assert first.last_used_at == same.last_used_at != later.last_used_at

    async def test_unknown(self, kit: Kit) -> None:
        with pytest.raises(Unauthenticated):
            await kit.accounts.actor_for_token("smp_unknown")


async def test_guessing_the_setup_token_is_slowed_down(kit: Kit) -> None:
    await kit.accounts.first_run("fixed")
    for _ in range(MAX_FAILURES_OF_PEER):
        with pytest.raises(Forbidden):
            await kit.accounts.setup("guess", "ada@example.org", PASSWORD, "Acme", "203.0.113.1")
    with pytest.raises(TooManyRequests):
        await kit.accounts.setup("fixed", "ada@example.org", PASSWORD, "Acme", "203.0.113.1")
