"""Creating: what is looked up first, what is refused, what the view looks like."""

import msgspec
import pytest

from scalemesh.core.build import UploadFile
from scalemesh.core.clock import rfc3339
from scalemesh.db.tables import Role
from scalemesh.deployments import NewDeployment, NewUpload
from scalemesh.errors import Forbidden, InvalidInput, NotFound
from scalemesh.projects import NewProject
from scalemesh.testing.engines import Postgres
from scalemesh.testing.factories import Kit, frames, open_kit, ref


async def test_shape(kit: Kit) -> None:
    """The names that issue 2 fixes, in JSON."""
    actor = await kit.actor()
    project = await kit.project(actor)
    made = msgspec.to_builtins(await kit.queued(actor))
    host = made["url"].removeprefix("http://").removesuffix(".localhost:8080")
    assert (host[:5], len(host)) == ("blog-", 17)
    now = rfc3339(kit.clock())
    assert made | {"id": "", "url": ""} == {
        "id": "",
        "project": "blog",
        "project_id": project.id,
        "team": "acme",
        "state": "queued",
        "target": "production",
        "trigger": "manual",
        "url": "",
        "aliases": [],
        "source": "git",
        "commit": {"sha": "a" * 40, "ref": "main", "message": "", "author": ""},
        "attempt": 0,
        "error": None,
        "plan": None,
        "steps": [],
        "output": None,
        "cancel_requested": False,
        "reused_from": None,
        "queue": {"position": 1, "expected_wait_s": None},
        "created_at": now,
        "started_at": None,
        "ready_at": None,
        "finished_at": None,
    }


async def test_unknown_branch_leaves_nothing(kit: Kit) -> None:
    actor = await kit.actor()
    await kit.project(actor)
    with pytest.raises(InvalidInput) as caught:
        await kit.deployments.create(actor, "blog", NewDeployment(ref="nope"))
    assert caught.value.code == "branch_not_found"
    assert (await kit.deployments.list(actor, "blog")).items == []


async def test_option_as_branch_never_reaches_git(kit: Kit) -> None:
    actor = await kit.actor()
    await kit.project(actor)
    with pytest.raises(InvalidInput):
        await kit.deployments.create(actor, "blog", NewDeployment(ref="--upload-pack=id"))
    assert kit.sources.asked == []


async def test_production_branch_is_the_default(kit: Kit) -> None:
    actor = await kit.actor()
    kit.sources.refs = {"trunk": "c" * 40}
    await kit.projects.create(actor, NewProject(name="blog", git_url="https://x/y", production_branch="trunk"))
    made = await kit.deployments.create(actor, "blog", NewDeployment())
    assert made.commit
    assert (made.commit.sha, made.commit.ref, made.target) == ("c" * 40, "trunk", "preview")


async def test_project_without_a_repository(kit: Kit) -> None:
    actor = await kit.actor()
    await kit.projects.create(actor, NewProject(name="blog"))
    with pytest.raises(InvalidInput) as caught:
        await kit.deployments.create(actor, "blog", NewDeployment())
    assert caught.value.code == "no_repository"


async def test_redeploy_is_the_same_commit_with_the_settings_of_now(kit: Kit) -> None:
    actor = await kit.actor()
    await kit.project(actor)
    first = await kit.queued(actor)
    kit.sources.refs = {}
    again = await kit.deployments.redeploy(actor, first.id)
    assert (again.commit, again.trigger, again.url != first.url) == (first.commit, "redeploy", True)


async def test_pages_and_projects(kit: Kit) -> None:
    actor = await kit.actor()
    for name in ("one", "two"):
        await kit.project(actor, name)
        for _ in range(3):
            await kit.queued(actor, name)
    page = await kit.deployments.list(actor, limit=4)
    rest = await kit.deployments.list(actor, cursor=page.next, limit=4)
    assert ([d.project for d in page.items + rest.items], rest.next) == (["two"] * 3 + ["one"] * 3, None)
    assert {d.project for d in (await kit.deployments.list(actor, "one")).items} == {"one"}


async def test_demo_uses_the_platforms_own_sources(kit: Kit) -> None:
    system = await kit.accounts.ensure_team("demo", "Demo")
    await kit.projects.create_internal(system, "welcome", "file:///data/demo.git")
    made = await kit.deployments.create(system, "welcome", NewDeployment(target="production"))
    assert (made.trigger, kit.sources.asked[0][0]) == ("demo", "file:///data/demo.git")


class TestUpload:
    FILES = {"index.html": b"<h1>hi</h1>", "bin/run": b"#!/bin/sh\n", "empty": b""}

    async def upload(self, kit: Kit, files: dict[str, bytes]) -> NewDeployment:
        listing = [
            UploadFile(path=path, sha256=ref(data).sha256, size=len(data), executable=path.startswith("bin/"))
            for path, data in files.items()
        ]
        return NewDeployment(source=NewUpload(files=listing))

    async def test_sent_kept_and_given_to_the_agent(self, kit: Kit) -> None:
        import io
        import tarfile

        actor = await kit.actor()
        await kit.projects.create(actor, NewProject(name="blog"))
        wanted = [ref(data) for data in self.FILES.values()]
        assert len(await kit.deployments.uploads.missing(actor, "blog", wanted)) == 3
        assert await kit.deployments.uploads.put(actor, "blog", frames(self.FILES.values())) == 3
        assert await kit.deployments.uploads.missing(actor, "blog", wanted) == []
        made = await kit.deployments.create(actor, "blog", await self.upload(kit, self.FILES))
        assert (made.source, made.commit, made.trigger) == ("upload", None, "upload")
        agent = await kit.launched()
        tar = b"".join([chunk async for chunk in await kit.deployments.builds.source_tar(agent.build)])
        with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
            members = {m.name: (m.mode, opened.extractfile(m).read()) for m in opened.getmembers()}  # type: ignore[union-attr]
        assert members == {
            path: (0o755 if path.startswith("bin/") else 0o644, data) for path, data in self.FILES.items()
        }

    async def test_blob_that_was_not_sent(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        with pytest.raises(InvalidInput) as caught:
            await kit.deployments.create(actor, "blog", await self.upload(kit, self.FILES))
        assert caught.value.code == "blob_missing"

    async def test_blob_of_another_team(self, kit: Kit) -> None:
        other = await kit.actor("other")
        await kit.project(other)
        await kit.deployments.uploads.put(other, "blog", frames([b"theirs"]))
        actor = await kit.actor()
        await kit.project(actor)
        with pytest.raises(InvalidInput):
            await kit.deployments.create(actor, "blog", await self.upload(kit, {"x": b"theirs"}))

    @pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../b", "a//b", "", "a/", ".git/config", "a\\b", "a\nb"])
    async def test_paths_that_lead_elsewhere(self, kit: Kit, path: str) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        await kit.deployments.uploads.put(actor, "blog", frames([b"x"]))
        with pytest.raises(InvalidInput) as caught:
            await kit.deployments.create(actor, "blog", await self.upload(kit, {path: b"x"}))
        assert caught.value.code == "invalid_path"

    async def test_file_that_is_also_a_folder(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        await kit.deployments.uploads.put(actor, "blog", frames([b"x"]))
        with pytest.raises(InvalidInput, match="inside a file"):
            await kit.deployments.create(actor, "blog", await self.upload(kit, {"a": b"x", "a/b": b"x"}))

    async def test_repository_has_no_tar(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        await kit.queued(actor)
        agent = await kit.launched()
        with pytest.raises(NotFound):
            await kit.deployments.builds.source_tar(agent.build)


class TestTenancy:
    async def test_another_teams_deployment_is_not_found(self, kit: Kit) -> None:
        actor, stranger = await kit.actor(), await kit.actor("other")
        await kit.project(actor)
        made = await kit.ready(actor)
        d = kit.deployments
        acts = [
            lambda: d.get(stranger, made.id),
            lambda: d.cancel(stranger, made.id),
            lambda: d.promote(stranger, made.id),
            lambda: d.redeploy(stranger, made.id),
            lambda: d.contents.files(stranger, made.id),
            lambda: d.contents.explain(stranger, made.id, "/"),
            lambda: d.log.read(stranger, made.id),
            lambda: d.log.follow(stranger, made.id),
            lambda: d.rollback(stranger, "blog"),
            lambda: d.aliases(stranger, "blog"),
            lambda: d.list(stranger, "blog"),
            lambda: d.create(stranger, "blog", NewDeployment()),
            lambda: d.uploads.missing(stranger, "blog", []),
            lambda: d.delete_project(stranger, "blog"),
        ]
        for act in acts:
            with pytest.raises(NotFound):
                await act()  # type: ignore[no-untyped-call]
        assert (await d.list(stranger)).items == []

    async def test_viewer_reads_alone(self, kit: Kit) -> None:
        actor, viewer = await kit.actor(), await kit.actor(role=Role.VIEWER)
        await kit.project(actor)
        made = await kit.ready(actor)
        d = kit.deployments
        assert (await d.get(viewer, made.id)).id == made.id
        for act in (d.cancel(viewer, made.id), d.promote(viewer, made.id), d.rollback(viewer, "blog")):
            with pytest.raises(Forbidden):
                await act


async def test_smoke_on_postgres(postgres_server: Postgres) -> None:
    """The long run has every test of this folder on PostgreSQL; this one goes the whole path each time."""
    async with open_kit(await postgres_server.fresh()) as kit:
        actor = await kit.actor()
        await kit.project(actor)
        first, second = [await kit.ready(actor) for _ in range(2)]
        assert (await kit.deployments.rollback(actor, "blog")).id == first.id
        assert (await kit.deployments.promote(actor, second.id)).aliases == ["http://blog.localhost:8080"]
        await kit.queued(actor)
        assert await kit.deployments.queue.requeue((await kit.launched()).build.attempt, "Gone.") == "queued"
