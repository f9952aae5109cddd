"""Projects: names, hosts, variables, keys, removal."""

import asyncio

import pytest
from sqlalchemy import text

from scalemesh.db.tables import Role
from scalemesh.errors import Conflict, Forbidden, InvalidInput, NotFound
from scalemesh.projects import NewProject, ProjectChanges
from scalemesh.testing.factories import DISPATCHER, Kit


class TestCreate:
    async def test_claims_its_host(self, kit: Kit) -> None:
        made = await kit.project(await kit.actor())
        assert (made.production_url, made.production_deployment) == ("http://blog.localhost:8080", None)

    async def test_name_is_unique_per_team(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        with pytest.raises(Conflict) as caught:
            await kit.project(actor)
        assert caught.value.code == "name_taken"
        assert len((await kit.projects.list(actor)).items) == 1

    async def test_other_team_gets_a_suffix(self, kit: Kit) -> None:
        await kit.project(await kit.actor("acme"))
        made = await kit.project(await kit.actor("other"))
        assert (made.name, made.production_url) == ("blog", "http://blog-other.localhost:8080")

    async def test_suffix_taken_too(self, kit: Kit) -> None:
        acme = await kit.actor("acme")
        await kit.project(acme, "blog")
        await kit.project(acme, "blog-other")
        made = await kit.project(await kit.actor("other"))
        assert made.production_url.startswith("http://blog-")
        assert made.production_url not in {"http://blog.localhost:8080", "http://blog-other.localhost:8080"}

    async def test_same_name_in_many_teams_at_once(self, kit: Kit) -> None:
        actors = [await kit.actor(f"team-{n}") for n in range(8)]
        made = await asyncio.gather(*(kit.project(actor) for actor in actors))
        assert len({project.production_url for project in made}) == 8

    async def test_viewer_may_not(self, kit: Kit) -> None:
        viewer = await kit.actor(role=Role.VIEWER)
        with pytest.raises(Forbidden):
            await kit.project(viewer)

    async def test_internal_is_the_platforms_own(self, kit: Kit) -> None:
        system = await kit.accounts.ensure_team("demo", "Demo")
        made = await kit.projects.create_internal(system, "welcome", "file:///data/demo.git")
        assert made.git_url is None
        with pytest.raises(NotFound):
            await kit.projects.create_internal(await kit.actor("demo"), "mine", "file:///etc")


class TestFind:
    async def test_by_name_and_by_id(self, kit: Kit) -> None:
        actor = await kit.actor()
        made = await kit.project(actor)
        assert await kit.projects.get(actor, "blog") == await kit.projects.get(actor, made.id) == made

    async def test_another_teams_is_not_found(self, kit: Kit) -> None:
        made = await kit.project(await kit.actor("acme"))
        stranger = await kit.actor("other")
        for ref in ("blog", made.id):
            with pytest.raises(NotFound):
                await kit.projects.get(stranger, ref)

    async def test_pages(self, kit: Kit) -> None:
        actor = await kit.actor()
        for n in range(5):
            await kit.project(actor, f"site-{n}")
        seen, cursor = [], None
        while True:
            page = await kit.projects.list(actor, cursor, 2)
            seen += [project.name for project in page.items]
            cursor = page.next
            if cursor is None:
                break
        assert sorted(seen) == [f"site-{n}" for n in range(5)]

    async def test_latest_deployment(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        await kit.ready(actor)
        made = await kit.queued(actor)
        latest = (await kit.projects.get(actor, "blog")).latest
        assert latest
        assert (latest.id, latest.state) == (made.id, "queued")


class TestUpdate:
    async def test_only_what_is_given(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.projects.create(actor, NewProject(name="blog", git_url="https://a/b", production_branch="trunk"))
        after = await kit.projects.update(actor, "blog", ProjectChanges(settings={"framework": "vite"}))
        assert (after.framework, after.git_url, after.production_branch) == ("vite", "https://a/b", "trunk")
        after = await kit.projects.update(actor, "blog", ProjectChanges(production_branch=None, git_url="https://c/d"))
        assert (after.framework, after.git_url, after.production_branch) == ("vite", "https://c/d", None)

    async def test_bad_branch(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        with pytest.raises(InvalidInput):
            await kit.projects.update(actor, "blog", ProjectChanges(production_branch="--upload-pack=id"))


class TestEnv:
    async def test_set_replaced_listed_removed(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        await kit.projects.set_env(actor, "blog", "KEY", "one")
        await kit.projects.set_env(actor, "blog", "KEY", "two")
        await kit.projects.set_env(actor, "blog", "KEY", "three", target="preview", branch="draft")
        listed = await kit.projects.list_env(actor, "blog")
        assert [(v.key, v.value, v.target, v.branch) for v in listed] == [
            ("KEY", "two", "all", None),
            ("KEY", "three", "preview", "draft"),
        ]
        await kit.projects.remove_env(actor, "blog", "KEY", target="all")
        await kit.projects.remove_env(actor, "blog", "KEY")
        assert await kit.projects.list_env(actor, "blog") == []
        with pytest.raises(NotFound):
            await kit.projects.remove_env(actor, "blog", "KEY")

    async def test_secret_is_never_shown_and_nothing_is_stored_plain(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        made = await kit.projects.set_env(actor, "blog", "KEY", "hush-hush", secret=True)
        await kit.projects.set_env(actor, "blog", "OPEN", "plain-as-day")
        assert made.value is None
        assert [v.value for v in await kit.projects.list_env(actor, "blog")] == [None, "plain-as-day"]
        async with kit.db.read() as session:
            stored = b"".join((await session.scalars(text("SELECT value FROM env_vars"))).all())
        assert b"hush" not in stored
        assert b"plain" not in stored

    async def test_viewer_may_not_write(self, kit: Kit) -> None:
        await kit.project(await kit.actor())
        with pytest.raises(Forbidden):
            await kit.projects.set_env(await kit.actor(role=Role.VIEWER), "blog", "KEY", "x")

    async def test_another_team(self, kit: Kit) -> None:
        await kit.project(await kit.actor())
        stranger = await kit.actor("other")
        with pytest.raises(NotFound):
            await kit.projects.set_env(stranger, "blog", "KEY", "x")
        with pytest.raises(NotFound):
            await kit.projects.list_env(stranger, "blog")


class TestDeployKey:
    async def test_made_once_and_private_half_is_sealed(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        key = await kit.projects.deploy_key(actor, "blog")
        assert key.startswith("ssh-ed25519 ")
        assert await kit.projects.deploy_key(actor, "blog") == key
        row = await kit.projects.row(actor, "blog")
        assert b"PRIVATE" not in (row.deploy_key or b"")
        assert "PRIVATE KEY" in (kit.projects.credentials(row).deploy_key or "")


class TestDelete:
    async def test_host_can_be_taken_up_again_by_the_team(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        await kit.deployments.delete_project(actor, "blog")
        assert (await kit.project(actor)).production_url == "http://blog.localhost:8080"

    async def test_host_is_not_given_to_another_team(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        await kit.deployments.delete_project(actor, "blog")
        assert (await kit.project(await kit.actor("other"))).production_url != "http://blog.localhost:8080"

    async def test_needs_an_owner(self, kit: Kit) -> None:
        await kit.project(await kit.actor())
        with pytest.raises(Forbidden):
            await kit.deployments.delete_project(await kit.actor(role=Role.DEVELOPER), "blog")

    async def test_refused_while_a_build_runs(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        await kit.queued(actor)
        await kit.launched()
        with pytest.raises(Conflict) as caught:
            await kit.projects.delete(actor, "blog")
        assert caught.value.code == "builds_running"

    async def test_waits_until_its_builds_are_stopped(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        made = await kit.queued(actor)
        await kit.queued(actor)
        agent = await kit.launched()
        deleting = asyncio.create_task(kit.deployments.delete_project(actor, "blog"))
        await kit.wakeup.wait("queue", 5)
        (due,) = await kit.deployments.queue.due(DISPATCHER)
        assert (due.reason, due.live.attempt) == ("cancel", agent.build.attempt)
        await kit.deployments.queue.canceled(agent.build.attempt)
        await kit.deployments.queue.cleaned(agent.build.attempt)
        async with asyncio.timeout(5):
            await deleting
        with pytest.raises(NotFound):
            await kit.deployments.get(actor, made.id)
        assert await kit.logs.read(made.id) == []
