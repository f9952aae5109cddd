"""What an agent may do with its attempt: claim, log, report, upload, publish."""

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest

from scalemesh.core.build import Batch, BuildIgnored, Plan, PlanMade, SourceResolved, StepFinished, StepStarted
from scalemesh.core.manifest import Rule, Rules
from scalemesh.db.tables import Deployment
from scalemesh.errors import Conflict, InvalidInput, Unauthenticated
from scalemesh.testing.factories import Agent, Kit, frames, manifest, ref


@pytest.fixture
async def agent(kit: Kit) -> Agent:
    actor = await kit.actor()
    await kit.project(actor)
    await kit.queued(actor)
    return await kit.launched()


async def texts(kit: Kit, deployment: str) -> list[str]:
    lines = await kit.logs.read(deployment)
    assert [line.seq for line in lines] == list(range(len(lines)))
    return [line.text for line in lines]


class TestAuthenticate:
    async def test_wrong_token(self, kit: Kit, agent: Agent) -> None:
        with pytest.raises(Unauthenticated):
            await kit.deployments.builds.authenticate(agent.build.attempt, "smb_wrong")

    async def test_unknown_attempt(self, kit: Kit, agent: Agent) -> None:
        with pytest.raises(Unauthenticated):
            await kit.deployments.builds.authenticate("att_unknown", agent.claimed.token)

    async def test_over(self, kit: Kit, agent: Agent) -> None:
        await agent.fail()
        with pytest.raises(Conflict, match="over"):
            await kit.deployments.builds.authenticate(agent.build.attempt, agent.claimed.token)

    async def test_one_recognized_before_cannot_report_when_over(self, kit: Kit, agent: Agent) -> None:
        builds, claimed = kit.deployments.builds, agent.claimed
        assert await builds.recognize(claimed.attempt, claimed.token) == agent.build
        await agent.fail()
        with pytest.raises(Conflict, match="over"):
            await builds.ingest(await builds.recognize(claimed.attempt, claimed.token), Batch(lines=[], events=[]))

    async def test_wrong_token_is_not_recognized(self, kit: Kit, agent: Agent) -> None:
        builds, claimed = kit.deployments.builds, agent.claimed
        await builds.recognize(claimed.attempt, claimed.token)
        with pytest.raises(Unauthenticated):
            await builds.recognize(claimed.attempt, "smb_wrong")

    async def test_token_is_not_stored(self, kit: Kit, agent: Agent) -> None:
        async with kit.db.read() as session:
            connection = await session.connection()
            rows = (await connection.exec_driver_sql("SELECT token_hash FROM attempts")).all()
        assert agent.claimed.token not in str(rows)


class TestClaim:
    async def test_same_nonce_same_answer(self, kit: Kit, agent: Agent) -> None:
        first = await kit.deployments.builds.claim(agent.build, "nonce")
        await agent.log("a line")
        assert await kit.deployments.builds.claim(agent.build, "nonce") == first

    async def test_other_nonce(self, kit: Kit, agent: Agent) -> None:
        with pytest.raises(Conflict, match="another agent"):
            await kit.deployments.builds.claim(agent.build, "other")

    async def test_secrets_travel_in_the_claim_and_are_not_in_the_spec(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        await kit.projects.set_env(actor, "blog", "PLAIN", "open")
        await kit.projects.set_env(actor, "blog", "API_KEY", "hush-hush", secret=True)
        await kit.projects.deploy_key(actor, "blog")
        await kit.queued(actor)
        agent = await kit.launched()
        claim = await kit.deployments.builds.claim(agent.build, "nonce")
        assert (claim.env, claim.secret_names) == ({"PLAIN": "open", "API_KEY": "hush-hush"}, ["API_KEY"])
        assert "OPENSSH PRIVATE KEY" in (claim.credentials.deploy_key or "")
        assert claim.spec.env_names == ["API_KEY", "PLAIN"]
        async with kit.db.read() as session:
            connection = await session.connection()
            dump = str((await connection.exec_driver_sql("SELECT * FROM deployments")).all())
        assert "hush-hush" not in dump
        assert "OPENSSH" not in dump

    async def test_spec_is_whole(self, kit: Kit, agent: Agent) -> None:
        spec = (await kit.deployments.builds.claim(agent.build, "nonce")).spec
        assert (spec.number, spec.target, spec.project_name) == (1, "production", "blog")
        assert spec.url.startswith("http://blog-")
        assert spec.variables["SCALEMESH_GIT_COMMIT_SHA"] == "a" * 40

    async def test_commit_deployed_before_is_that_of_the_branch(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        first = await kit.ready(actor)
        await kit.queued(actor)
        agent = await kit.launched()
        spec = (await kit.deployments.builds.claim(agent.build, "nonce")).spec
        row = await kit.deployments.get(actor, first.id)
        assert row.commit
        assert (spec.previous_commit, spec.ignorable) == (row.commit.sha, True)

    async def test_a_redeploy_is_not_ignored(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        await kit.deployments.redeploy(actor, (await kit.ready(actor)).id)
        agent = await kit.launched()
        assert not (await kit.deployments.builds.claim(agent.build, "nonce")).spec.ignorable


class TestLog:
    async def test_platform_then_agent_then_platform(self, kit: Kit, agent: Agent) -> None:
        await agent.log("one", "two")
        await agent.fail()
        assert await texts(kit, agent.build.deployment) == [
            "Starting a build server (attempt 1)",
            "one",
            "two",
            "It failed.",
        ]

    async def test_sent_again_counts_once(self, kit: Kit, agent: Agent) -> None:
        batch = Batch(lines=agent.lines("one", "two"))
        answers = [await kit.deployments.builds.ingest(agent.build, batch) for _ in range(3)]
        assert {answer.next_seq for answer in answers} == {3}
        assert (await texts(kit, agent.build.deployment))[1:] == ["one", "two"]

    async def test_gap_is_not_taken(self, kit: Kit, agent: Agent) -> None:
        lines = agent.lines("one", "two", "three")
        answer = await kit.deployments.builds.ingest(agent.build, Batch(lines=lines[1:]))
        assert answer.next_seq == lines[0].seq
        assert len(await texts(kit, agent.build.deployment)) == 1

    async def test_events_after_a_gap_are_not_taken(self, kit: Kit, agent: Agent) -> None:
        lines = agent.lines("one", "two")
        events: list[StepStarted] = [StepStarted(n=0, step="clone", at=1)]
        answer = await kit.deployments.builds.ingest(agent.build, Batch(lines=lines[1:], events=[*events]))
        assert answer.next_event == 0

    async def test_numbers_below_ones_own_are_refused(self, kit: Kit, agent: Agent) -> None:
        agent.next_seq = 0
        with pytest.raises(InvalidInput):
            await agent.log("overwrites the platform's line")

    async def test_line_of_another_deployment(self, kit: Kit, agent: Agent) -> None:
        (line,) = agent.lines("x")
        other = type(line)(**{**{f: getattr(line, f) for f in line.__struct_fields__}, "deployment": "dpl_other"})
        with pytest.raises(InvalidInput):
            await kit.deployments.builds.ingest(agent.build, Batch(lines=[other]))

    async def test_fenced_after_the_next_attempt_has_begun(self, kit: Kit, agent: Agent) -> None:
        await agent.log("first try")
        kit.clock.advance(seconds=31)
        await kit.deployments.queue.requeue(agent.build.attempt, "Gone.")
        kit.clock.advance(seconds=5)
        second = await kit.launched()
        with pytest.raises(Conflict, match="over"):
            await agent.log("a voice from the grave")
        await second.log("second try")
        assert await texts(kit, agent.build.deployment) == [
            "Starting a build server (attempt 1)",
            "first try",
            "Gone. Trying again.",
            "Starting a build server (attempt 2)",
            "second try",
        ]

    async def test_many_agents_at_once(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        for _ in range(5):
            await kit.queued(actor)
        agents = [await kit.launched() for _ in range(5)]

        async def talk(agent: Agent) -> None:
            for n in range(10):
                await agent.log(f"line {n}")

        await asyncio.gather(*(talk(agent) for agent in agents))
        for agent in agents:
            assert (await texts(kit, agent.build.deployment))[1:] == [f"line {n}" for n in range(10)]

    async def test_follower_sees_all_of_it_and_the_end(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        made = await kit.queued(actor)
        agent = await kit.launched()

        async def follow() -> list[str]:
            return [line.text async for line in await kit.deployments.log.follow(actor, made.id)]

        following = asyncio.create_task(follow())
        await agent.log("one")
        await agent.log("two", "three")
        await agent.fail()
        async with asyncio.timeout(10):
            seen = await following
        assert seen[1:] == ["one", "two", "three", "It failed."]


class TestEvents:
    async def test_steps_plan_and_commit(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        made = await kit.queued(actor)
        agent = await kit.launched()
        batch = Batch(
            events=[
                StepStarted(n=0, step="clone", at=1000),
                SourceResolved(n=1, commit="a" * 40, tree="b" * 40, message="Fix it", author="Ada"),
                StepFinished(n=2, step="clone", at=1500, exit_code=0),
                PlanMade(n=3, plan=Plan(framework="vite")),
                StepStarted(n=4, step="install", at=1600),
            ]
        )
        answer = await kit.deployments.builds.ingest(agent.build, batch)
        assert answer == await kit.deployments.builds.ingest(agent.build, batch)
        assert answer.next_event == 5
        view = await kit.deployments.get(actor, made.id)
        assert [(s.step, s.duration_ms, s.exit_code) for s in view.steps] == [
            ("clone", 500, 0),
            ("install", None, None),
        ]
        assert view.commit
        assert (view.commit.message, view.commit.author, view.commit.sha) == ("Fix it", "Ada", "a" * 40)
        assert view.plan
        assert view.plan.framework == "vite"

    async def test_failure_is_the_end(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        made = await kit.queued(actor)
        await (await kit.launched()).fail("command_failed")
        view = await kit.deployments.get(actor, made.id)
        assert (view.state, view.error and view.error.code) == ("error", "command_failed")
        assert view.finished_at

    async def test_ignored_ends_canceled_and_says_so(self, kit: Kit, agent: Agent) -> None:
        ended = BuildIgnored(n=agent.next_event, message="Nothing of it changed.")
        await kit.deployments.builds.ingest(agent.build, Batch(events=[ended]))
        async with kit.db.read() as session:
            row = await session.get_one(Deployment, agent.build.deployment)
        assert (row.state, row.error_code, row.error_message) == ("canceled", "ignored", "Nothing of it changed.")
        assert (await texts(kit, agent.build.deployment))[-1] == "Nothing of it changed."

    async def test_infrastructure_fault_is_tried_again(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        made = await kit.queued(actor)
        await (await kit.launched()).fail("disk_failed", infrastructure=True)
        view = await kit.deployments.get(actor, made.id)
        assert (view.state, view.error) == ("queued", None)

    async def test_next_attempt_starts_with_a_clean_sheet(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        made = await kit.queued(actor)
        agent = await kit.launched()
        await kit.deployments.builds.ingest(agent.build, Batch(events=[StepStarted(n=0, step="clone", at=1)]))
        await kit.deployments.queue.requeue(agent.build.attempt, "Gone.")
        kit.clock.advance(seconds=5)
        await kit.launched()
        view = await kit.deployments.get(actor, made.id)
        assert (view.attempt, view.steps) == (2, [])


class TestPublish:
    async def test_only_missing_blobs_are_asked_for(self, kit: Kit, agent: Agent) -> None:
        builds = kit.deployments.builds
        await builds.put_blobs(agent.build, frames([b"here", b"x" * 300_000]))
        wanted = [ref(b"here"), ref(b"x" * 300_000), ref(b"absent")]
        assert await builds.missing(agent.build, wanted) == [ref(b"absent").sha256]

    async def test_blobs_of_another_team_are_missing(self, kit: Kit, agent: Agent) -> None:
        other = await kit.actor("other")
        await kit.project(other)
        await kit.queued(other)
        theirs = await kit.launched()
        await kit.deployments.builds.put_blobs(theirs.build, frames([b"theirs"]))
        assert await kit.deployments.builds.missing(agent.build, [ref(b"theirs")]) == [ref(b"theirs").sha256]
        with pytest.raises(InvalidInput, match="not stored"):
            await kit.deployments.builds.accept_manifest(agent.build, manifest({"/index.html": b"theirs"}))

    async def test_wrong_hash_is_refused(self, kit: Kit, agent: Agent) -> None:
        async def lies() -> AsyncIterator[bytes]:
            yield bytes(32) + (4).to_bytes(8, "big") + b"lies"

        with pytest.raises(InvalidInput):
            await kit.deployments.builds.put_blobs(agent.build, lies())

    async def test_refused_manifest_changes_nothing(self, kit: Kit, agent: Agent) -> None:
        with pytest.raises(InvalidInput):
            await kit.deployments.builds.accept_manifest(agent.build, manifest({"/index.html": b"never sent"}))
        assert not (await kit.deployments.builds.heartbeat(agent.build)).cancel
        assert (await kit.deployments.routes.changes(0)).routes == []

    async def test_rules_that_do_not_compile_are_refused(self, kit: Kit, agent: Agent) -> None:
        await kit.deployments.builds.put_blobs(agent.build, frames([b"hello"]))
        rule = Rule(source="_redirects", line=1, pattern="(", status=301, to=["/"])
        made = msgspec.structs.replace(manifest({"/index.html": b"hello"}), rules=Rules(rules=[rule]))
        with pytest.raises(InvalidInput, match=r"rules\.rules\[0\]"):
            await kit.deployments.builds.accept_manifest(agent.build, made)

    async def test_repeat_is_accepted(self, kit: Kit, agent: Agent) -> None:
        made = await agent.publish({"/index.html": b"hello"})
        build = await kit.deployments.builds.authenticate(agent.build.attempt, agent.claimed.token)
        await kit.deployments.builds.accept_manifest(build, made)
        version = await kit.deployments.routes.version()
        assert version == 2

    async def test_fenced(self, kit: Kit, agent: Agent) -> None:
        await kit.deployments.queue.requeue(agent.build.attempt, "Gone.")
        with pytest.raises(Conflict, match="over"):
            await agent.publish({"/index.html": b"hello"})

    async def test_view_of_what_was_published(self, kit: Kit) -> None:
        actor = await kit.actor()
        await kit.project(actor)
        view = await kit.ready(actor, files={"/index.html": b"hello", "/a/b.html": b"you"})
        assert view.output
        assert (view.state, view.output.files, view.output.bytes) == ("ready", 2, 8)
        assert view.aliases == ["http://blog.localhost:8080"]
        files = await kit.deployments.contents.files(actor, view.id)
        assert [(file.path, file.size) for file in files] == [("/a/b.html", 3), ("/index.html", 5)]
        assert (await kit.deployments.contents.explain(actor, view.id, "/a/b")).file == "/a/b.html"
