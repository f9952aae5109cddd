"""An identical tree is served again at once; whatever else its output depends on makes a build."""

import time

import pytest

from scalemesh.core.build import Batch, SourceResolved
from scalemesh.db.tables import Deployment
from scalemesh.deployments import DeploymentView, NewDeployment
from scalemesh.projects import ProjectChanges
from scalemesh.testing.factories import Kit

TREE = "7" * 40


async def built(kit: Kit, commit: str = "a" * 40) -> DeploymentView:
    """The project's first deployment, built of TREE."""
    actor = await kit.actor()
    await kit.project(actor)
    made = await kit.queued(actor)
    agent = await kit.launched()
    resolved = SourceResolved(n=0, commit=commit, tree=TREE, author="Ada", message="Say hello")
    await kit.deployments.builds.ingest(agent.build, Batch(events=[resolved]))
    await agent.publish({"/index.html": b"hello"})
    kit.clock.advance(seconds=2)
    return await kit.deployments.get(actor, made.id)


async def again(kit: Kit, **changes: bool | str) -> DeploymentView:
    new = {"target": "production"} | changes
    return await kit.deployments.create(await kit.actor(), "blog", NewDeployment(**new))  # type: ignore[arg-type]


async def test_ready_at_once_with_the_same_files(kit: Kit) -> None:
    first = await built(kit)
    second = await again(kit)
    actor = await kit.actor()
    assert (second.state, second.reused_from, second.attempt) == ("ready", first.id, 0)
    assert (second.commit, second.output, second.plan) == (first.commit, first.output, first.plan)
    assert await kit.deployments.contents.files(actor, second.id) == await kit.deployments.contents.files(
        actor, first.id
    )
    assert await kit.claim() is None


async def test_says_why_in_its_log(kit: Kit) -> None:
    first = await built(kit)
    second = await again(kit)
    texts = [line.text for line in await kit.deployments.log.read(await kit.actor(), second.id)]
    assert texts == [f"Same files, settings and variables as {first.id}: its site, no build"]
    assert await kit.deployments.log.end(second.id) == 1


async def test_production_serves_the_newer_one(kit: Kit) -> None:
    await built(kit)
    second = await again(kit)
    (alias,) = await kit.deployments.aliases(await kit.actor(), "blog")
    assert (alias.deployment, second.aliases) == (second.id, [alias.url])


async def test_reuse_of_a_reuse_names_what_was_built(kit: Kit) -> None:
    first = await built(kit)
    await again(kit)
    assert (await again(kit)).reused_from == first.id


async def test_another_commit_with_the_same_tree(kit: Kit) -> None:
    """As a push tells it."""
    first = await built(kit)
    actor = await kit.actor()
    kit.sources.refs = {None: "b" * 40}
    known = await kit.queued(actor)  # b's tree is known from here on
    async with kit.db.write() as session:
        (await session.get_one(Deployment, known.id)).tree = TREE
    second = await again(kit)
    assert (second.reused_from, second.commit and second.commit.sha) == (first.id, "b" * 40)


async def test_unknown_tree_is_built(kit: Kit) -> None:
    await built(kit)
    kit.sources.refs = {None: "b" * 40}
    assert (await again(kit)).state == "queued"


@pytest.mark.parametrize("changes", [{"force": True}, {"target": "preview"}], ids=["force", "target"])
async def test_asked_otherwise(kit: Kit, changes: dict[str, bool | str]) -> None:
    await built(kit)
    assert (await again(kit, **changes)).state == "queued"


async def test_redeploy_builds(kit: Kit) -> None:
    first = await built(kit)
    assert (await kit.deployments.redeploy(await kit.actor(), first.id)).state == "queued"


@pytest.mark.parametrize("settings", [{"build_command": "make"}, {"root_directory": "web"}, {"reuse": False}])
async def test_changed_settings(kit: Kit, settings: dict[str, str | bool]) -> None:
    await built(kit)
    await kit.projects.update(await kit.actor(), "blog", ProjectChanges(settings=settings))
    assert (await again(kit)).state == "queued"


async def test_changed_variable(kit: Kit) -> None:
    await built(kit)
    await kit.projects.set_env(await kit.actor(), "blog", "KEY", "1", secret=True)
    assert (await again(kit)).state == "queued"


async def test_variable_of_another_target_does_not_count(kit: Kit) -> None:
    await built(kit)
    await kit.projects.set_env(await kit.actor(), "blog", "KEY", "1", target="preview")
    assert (await again(kit)).state == "ready"


async def test_of_another_project_never(kit: Kit) -> None:
    await built(kit)
    actor = await kit.actor()
    await kit.project(actor, "other")
    assert (await kit.queued(actor, "other")).state == "queued"


async def test_soon(kit: Kit) -> None:
    """The target is 0.3 s, all included; this bound is for a busy machine."""
    await built(kit)
    actor = await kit.actor()
    started = time.monotonic()
    await kit.deployments.create(actor, "blog", NewDeployment(target="production"))
    assert time.monotonic() - started < 3
