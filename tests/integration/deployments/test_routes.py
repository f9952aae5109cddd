"""The route feed: what edges are told, in which order, and what they answer."""

import asyncio

import pytest

from scalemesh.core.routes import Route
from scalemesh.errors import Unauthenticated
from scalemesh.testing.factories import Kit


def served(routes: list[Route]) -> dict[str, str | None]:
    return {route.host: route.deployment if route.manifest else None for route in routes}


async def edge(kit: Kit, name: str = "edge-1") -> str:
    return await kit.deployments.routes.authenticate(await kit.deployments.routes.ensure_edge(name))


class TestFeed:
    async def test_ready_is_one_version_of_two_hosts(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        made = await kit.ready(actor)
        snapshot = await kit.deployments.routes.changes(0)
        own = made.url.removeprefix("http://").removesuffix(":8080")
        assert (snapshot.version, snapshot.full) == (2, True)
        assert served(snapshot.routes) == {own: made.id, "blog.localhost": made.id}

    async def test_only_what_changed(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        await kit.ready(actor)
        second = await kit.ready(actor)
        snapshot = await kit.deployments.routes.changes(2)
        assert (snapshot.version, snapshot.full, len(snapshot.routes)) == (3, False, 2)
        assert set(served(snapshot.routes).values()) == {second.id}

    async def test_version_of_another_database_gets_everything(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        await kit.ready(actor)
        snapshot = await kit.deployments.routes.changes(99)
        assert (snapshot.version, snapshot.full, len(snapshot.routes)) == (2, True, 2)

    async def test_removed_project_leaves_tombstones(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        made = await kit.ready(actor)
        (live,) = await kit.deployments.queue.live("test-dispatcher")
        await kit.deployments.queue.cleaned(live.attempt)
        await kit.deployments.delete_project(actor, "blog")
        snapshot = await kit.deployments.routes.changes(2)
        own = made.url.removeprefix("http://").removesuffix(":8080")
        assert served(snapshot.routes) == {own: None, "blog.localhost": None}
        assert (await kit.deployments.routes.changes(0)).routes == []

    async def test_pages_end_with_a_whole_version(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        for _ in range(4):
            await kit.ready(actor)
        seen, after = [], 2
        while after < 5:
            page = await kit.deployments.routes.changes(after, limit=1)
            assert page.routes
            seen += [(route.version, route.host) for route in page.routes]
            after = page.version
        assert (after, len(seen), len(set(seen))) == (5, 4, 4)

    async def test_promotes_at_once_lose_nothing(self, kit: Kit) -> None:
        """Whoever follows the feed while versions are committed ends with the same table as a full snapshot."""
        actor = await kit.actor()
        made = []
        for n in range(4):
            await kit.project(actor, f"site-{n}")
            made.append([await kit.ready(actor, f"site-{n}") for _ in range(2)])
        start = await kit.deployments.routes.version()
        done = asyncio.Event()

        async def follow() -> dict[str, str | None]:
            table = served((await kit.deployments.routes.changes(0)).routes)
            after = start
            while True:
                last = done.is_set()
                snapshot = await kit.deployments.routes.changes(after, limit=2)
                table |= served(snapshot.routes)
                if last and snapshot.version == after:
                    return table
                after = snapshot.version

        follower = asyncio.create_task(follow())
        for round_ in (0, 1, 0):
            await asyncio.gather(*(kit.deployments.promote(actor, pair[round_].id) for pair in made))
        done.set()
        assert await follower == served((await kit.deployments.routes.changes(0)).routes)


class TestPoll:
    async def test_waits_for_the_change(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        first = await kit.ready(actor)
        await kit.ready(actor)
        waiting = asyncio.create_task(kit.deployments.routes.poll(await edge(kit), 3, wait_s=20))
        await kit.wakeup.wait("edges", 5)  # the poll has begun: it has acknowledged
        await kit.deployments.promote(actor, first.id)
        async with asyncio.timeout(5):
            snapshot = await waiting
        assert (snapshot.version, [route.host for route in snapshot.routes]) == (4, ["blog.localhost"])

    async def test_nothing_new(self, kit: Kit) -> None:
        snapshot = await kit.deployments.routes.poll(await edge(kit), 1, wait_s=0)
        assert (snapshot.version, snapshot.full, snapshot.routes) == (1, False, [])

    async def test_first_question_is_answered_at_once(self, kit: Kit) -> None:
        async with asyncio.timeout(5):
            snapshot = await kit.deployments.routes.poll(await edge(kit), 0, wait_s=20)
        assert (snapshot.version, snapshot.full, snapshot.routes) == (1, True, [])

    async def test_unknown_token(self, kit: Kit) -> None:
        with pytest.raises(Unauthenticated):
            await kit.deployments.routes.authenticate("sme_unknown")

    async def test_new_token_voids_the_old_one(self, kit: Kit) -> None:
        old = await kit.deployments.routes.ensure_edge("edge-1")
        await kit.deployments.routes.ensure_edge("edge-1")
        with pytest.raises(Unauthenticated):
            await kit.deployments.routes.authenticate(old)


class TestAcknowledge:
    async def test_shown_ready_once_every_edge_has_it(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        ids = [await edge(kit, name) for name in ("edge-1", "edge-2")]
        for each in ids:
            await kit.deployments.routes.acknowledge(each, 0)
        made = await kit.queued(actor)
        agent = await kit.launched()
        publishing = asyncio.create_task(agent.publish({"/index.html": b"x"}))
        await kit.wakeup.wait("routes", 5)
        shown = [(await kit.deployments.get(actor, made.id)).state]
        for each in ids:
            await kit.deployments.routes.acknowledge(each, 2)
            shown.append((await kit.deployments.get(actor, made.id)).state)
        await publishing
        assert shown == ["building", "building", "ready"]

    async def test_silent_edge_is_left_out_after_a_second(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        await kit.deployments.routes.acknowledge(await edge(kit), 0)
        made = await kit.queued(actor)
        await (await kit.launched()).publish({"/index.html": b"x"})
        assert (await kit.deployments.get(actor, made.id)).state == "building"
        kit.clock.advance(seconds=1)
        assert (await kit.deployments.get(actor, made.id)).state == "ready"

    async def test_edge_that_is_gone_does_not_count(self, kit: Kit) -> None:
        await kit.deployments.routes.acknowledge(await edge(kit), 0)
        kit.clock.advance(seconds=31)
        assert await kit.deployments.routes.wait_acknowledged(2)

    async def test_log_ends_when_ready_is_shown(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        await kit.deployments.routes.acknowledge(await edge(kit), 0)
        made = await kit.queued(actor)
        await (await kit.launched()).publish({"/index.html": b"x"})
        before = await kit.deployments.log.end(made.id)
        kit.clock.advance(seconds=1)
        assert (before, await kit.deployments.log.end(made.id)) == (None, 1)
