"""Pushes become deployments: signed, once, and the newest of a branch wins."""

import asyncio
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any

import pytest

from scalemesh.accounts import Actor
from scalemesh.deployments import HookAnswer
from scalemesh.errors import Unauthenticated
from scalemesh.projects import ProjectChanges
from scalemesh.testing.factories import DISPATCHER, Kit


@dataclass
class GitHub:
    """A repository's host that knows the project's secret."""

    kit: Kit
    actor: Actor
    project: str
    secret: str
    count: int = 0

    async def push(
        self, branch: str = "main", message: str = "Work", *, delivery: str | None = None, **changes: Any
    ) -> HookAnswer:
        self.count += 1
        commit = f"{self.count:040x}"
        head = {"id": commit, "tree_id": "e" * 40, "message": message, "author": {"name": "Ada"}}
        whole = {"ref": f"refs/heads/{branch}", "after": commit, "deleted": False, "head_commit": head}
        body = json.dumps(whole | {"repository": {"default_branch": "main"}} | changes).encode()
        return await self.send(body, delivery or f"delivery-{self.count}", self.secret)

    async def send(self, body: bytes, delivery: str, secret: str, event: str = "push") -> HookAnswer:
        signature = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        return await self.kit.deployments.hooks.receive(
            self.project,
            body,
            signature=signature,
            event=event,
            delivery=delivery,
            content_type="application/json",
        )

    async def state(self, answer: HookAnswer) -> tuple[str, str | None]:
        found = await self.kit.deployments.get(self.actor, answer.deployment or "")
        return found.state, found.error.code if found.error else None


@pytest.fixture
async def github(kit: Kit) -> GitHub:
    actor = await kit.actor()
    project = await kit.project(actor)
    return GitHub(kit, actor, project.id, await kit.projects.make_hook(actor, "blog"))


class TestPush:
    async def test_production_branch(self, github: GitHub) -> None:
        answer = await github.push()
        made = await github.kit.deployments.get(github.actor, answer.deployment or "")
        assert (made.state, made.target, made.trigger) == ("queued", "production", "hook")
        assert made.commit
        assert (made.commit.sha, made.commit.ref, made.commit.message, made.commit.author) == (
            f"{1:040x}",
            "main",
            "Work",
            "Ada",
        )

    async def test_is_claimed_with_its_commit(self, github: GitHub) -> None:
        await github.push()
        agent = await github.kit.launched()
        spec = (await github.kit.deployments.builds.claim(agent.build, "nonce")).spec
        assert spec.source.commit == f"{1:040x}"  # type: ignore[union-attr]
        assert github.kit.sources.asked == []

    async def test_other_branch(self, github: GitHub) -> None:
        answer = await github.push("feat/x")
        assert (await github.kit.deployments.get(github.actor, answer.deployment or "")).target == "preview"

    async def test_production_branch_of_the_project_wins(self, github: GitHub) -> None:
        await github.kit.projects.update(github.actor, "blog", ProjectChanges(production_branch="release"))
        targets = [
            (await github.kit.deployments.get(github.actor, (await github.push(branch)).deployment or "")).target
            for branch in ("main", "release")
        ]
        assert targets == ["preview", "production"]

    async def test_skip_marker(self, github: GitHub) -> None:
        waiting = await github.push()
        assert await github.state(await github.push(message="Typo [skip ci]")) == ("canceled", "skipped")
        assert await github.state(waiting) == ("queued", None)

    @pytest.mark.parametrize(
        ("changes", "ignored"), [({"ref": "refs/tags/v1"}, "tag"), ({"deleted": True}, "branch_deleted")]
    )
    async def test_ignored(self, github: GitHub, changes: dict[str, Any], ignored: str) -> None:
        assert await github.push(**changes) == HookAnswer(ignored=ignored)
        assert (await github.kit.deployments.list(github.actor, "blog")).items == []

    async def test_other_events_are_not_read(self, github: GitHub) -> None:
        assert await github.send(b"{}", "d", github.secret, event="ping") == HookAnswer(ignored="ping")

    async def test_by_the_projects_name(self, github: GitHub) -> None:
        github.project = "blog"
        assert (await github.push()).deployment


class TestOnce:
    async def test_same_delivery(self, github: GitHub) -> None:
        first = await github.push(delivery="one")
        assert await github.push(delivery="one") == first
        assert len((await github.kit.deployments.list(github.actor, "blog")).items) == 1

    async def test_same_delivery_at_once(self, github: GitHub) -> None:
        answers = await asyncio.gather(*(github.push(delivery="one") for _ in range(5)))
        assert len(set(answers)) == 1
        assert len((await github.kit.deployments.list(github.actor, "blog")).items) == 1

    async def test_old_deliveries_are_forgotten(self, github: GitHub) -> None:
        first = await github.push(delivery="one")
        await github.kit.deployments.hooks.forget()
        assert await github.push(delivery="one") == first
        github.kit.clock.advance(seconds=31 * 24 * 3600)
        await github.kit.deployments.hooks.forget()
        assert await github.push(delivery="one") != first


class TestSignature:
    async def test_another_secret(self, github: GitHub) -> None:
        for secret in ("", "wrong", github.secret + " "):
            with pytest.raises(Unauthenticated):
                await github.send(b"{}", "d", secret)

    async def test_without_a_secret_nothing_is_taken(self, github: GitHub) -> None:
        await github.kit.projects.remove_hook(github.actor, "blog")
        for secret in ("", github.secret):
            with pytest.raises(Unauthenticated):
                await github.send(b"{}", "d", secret)

    async def test_unknown_project(self, github: GitHub) -> None:
        github.project = "nothing"
        with pytest.raises(Unauthenticated):
            await github.push()

    async def test_secret_is_kept_and_made_anew(self, github: GitHub) -> None:
        projects = github.kit.projects
        assert (
            await projects.make_hook(github.actor, "blog") == github.secret == await projects.hook(github.actor, "blog")
        )
        await projects.remove_hook(github.actor, "blog")
        assert await projects.make_hook(github.actor, "blog") not in {github.secret, ""}

    async def test_secret_is_encrypted(self, github: GitHub) -> None:
        async with github.kit.db.read() as session:
            connection = await session.connection()
            dump = (await connection.exec_driver_sql("SELECT hook_secret FROM projects")).scalars().all()
        assert all(github.secret.encode() not in bytes(sealed) for sealed in dump)


class TestSupersede:
    async def test_newer_push_cancels_the_older_that_waits(self, github: GitHub) -> None:
        answers = [await github.push() for _ in range(3)]
        assert [await github.state(answer) for answer in answers] == [
            ("canceled", "superseded"),
            ("canceled", "superseded"),
            ("queued", None),
        ]

    async def test_its_log_says_why_and_ends(self, github: GitHub) -> None:
        older = (await github.push()).deployment or ""
        await github.push()
        (line,) = await github.kit.deployments.log.read(github.actor, older)
        assert "newer push to main" in line.text
        assert await github.kit.deployments.log.end(older) == 1

    async def test_what_runs_goes_on(self, github: GitHub) -> None:
        running = await github.push()
        await github.kit.launched()
        await github.push()
        assert await github.state(running) == ("building", None)

    async def test_running_previews_are_canceled_where_the_project_says_so(self, github: GitHub) -> None:
        await github.kit.projects.update(github.actor, "blog", ProjectChanges(cancel_running=True))
        production, preview = await github.push(), await github.push("feat")
        for _ in range(2):
            await github.kit.launched()
        await github.push()
        await github.push("feat")
        (due,) = await github.kit.deployments.queue.due(DISPATCHER)
        assert (due.reason, due.live.deployment) == ("cancel", preview.deployment)
        assert await github.state(preview) == ("building", None)
        await github.kit.deployments.queue.canceled(due.live.attempt)
        assert await github.state(preview) == ("canceled", "superseded")
        assert await github.state(production) == ("building", None)

    async def test_a_cancel_that_came_too_late_leaves_no_trace(self, github: GitHub) -> None:
        await github.kit.projects.update(github.actor, "blog", ProjectChanges(cancel_running=True))
        preview = await github.push("feat")
        agent = await github.kit.launched()
        await github.push("feat")
        await agent.publish({"/index.html": b"x"})
        github.kit.clock.advance(seconds=2)
        assert await github.state(preview) == ("ready", None)

    async def test_other_branch_and_other_project_wait(self, github: GitHub) -> None:
        other = await github.kit.project(github.actor, "shop")
        shop = GitHub(github.kit, github.actor, other.id, await github.kit.projects.make_hook(github.actor, "shop"))
        waiting = [await github.push("feat"), await shop.push()]
        await github.push()
        assert [await github.state(answer) for answer in waiting] == [("queued", None)] * 2

    async def test_a_redeploy_is_of_one_commit(self, github: GitHub) -> None:
        old = await github.kit.ready(github.actor)
        again = await github.kit.deployments.redeploy(github.actor, old.id)
        await github.push()
        assert (await github.kit.deployments.get(github.actor, again.id)).state == "queued"


class TestUnaffected:
    @pytest.fixture(autouse=True)
    async def in_a_folder(self, github: GitHub) -> None:
        await github.kit.projects.update(github.actor, "blog", ProjectChanges(settings={"root_directory": "apps/web"}))

    async def changing(self, github: GitHub, *paths: str, **more: Any) -> tuple[str, str | None]:
        commits = [{"id": "1" * 40, "modified": list(paths)}]
        return await github.state(await github.push(commits=commits, **more))

    async def test_nothing_under_the_root_directory(self, github: GitHub) -> None:
        await github.kit.ready(github.actor)
        assert await self.changing(github, "docs/a.md", "apps/webshop/x.js") == ("canceled", "skipped")

    @pytest.mark.parametrize("path", ["apps/web/index.html", "package-lock.json", "apps/package.json"])
    async def test_something_that_counts(self, github: GitHub, path: str) -> None:
        await github.kit.ready(github.actor)
        assert await self.changing(github, "docs/a.md", path) == ("queued", None)

    @pytest.mark.parametrize("more", [{"created": True}, {"forced": True}])
    async def test_what_the_push_does_not_say_is_built(self, github: GitHub, more: dict[str, Any]) -> None:
        await github.kit.ready(github.actor)
        assert await self.changing(github, "docs/a.md", **more) == ("queued", None)

    async def test_unless_the_project_wants_every_push(self, github: GitHub) -> None:
        await github.kit.ready(github.actor)
        await github.kit.projects.update(github.actor, "blog", ProjectChanges(skip_unaffected=False))
        assert await self.changing(github, "docs/a.md") == ("queued", None)

    async def test_the_first_push_is_built(self, github: GitHub) -> None:
        assert await self.changing(github, "docs/a.md") == ("queued", None)

    async def test_what_an_older_push_brings_still_comes(self, github: GitHub) -> None:
        older = await github.push()
        assert await self.changing(github, "docs/a.md") == ("canceled", "skipped")
        assert await github.state(older) == ("queued", None)

    async def test_what_failed_is_tried_with_the_next_push(self, github: GitHub) -> None:
        await github.push()
        await (await github.kit.launched()).fail()
        assert await self.changing(github, "docs/a.md") == ("queued", None)
