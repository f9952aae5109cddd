"""Whole builds as ECS tasks: git from a real server, steps in the runner's container; only the API is in memory."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from scalemesh.buildserver.control.memory import MemoryControl
from scalemesh.core.build import BuildSettings, Claim
from scalemesh.core.ids import new_id
from scalemesh.dispatch.backends.base import Handle, Launch, Status
from scalemesh.dispatch.backends.ecs.backend import EcsBackend
from scalemesh.testing.git_server import GitServer
from tests.ecs_machine import EcsMachine
from tests.integration.build_api import BuildApi
from tests.integration.builds import LIMITS, claim, eventually, failure, shown, spec, text

pytestmark = pytest.mark.matrix
TOKEN = "smb_secret_of_one_attempt"
SLOW = "for (let n = 0; ; n++) { console.log(`tick ${n}`); await new Promise(done => setTimeout(done, 50)); }"


@dataclass
class Site:
    """Builds by the backend on the machine, against an API in memory."""

    machine: EcsMachine
    backend: EcsBackend
    api: BuildApi
    git: GitServer

    def claim(self, name: str, files: dict[str, str], **limits: int) -> Claim:
        repository = self.git.repository(name, files)
        made = spec(
            repository.url,
            repository.git("rev-parse", "main").strip(),
            settings=BuildSettings(install_command=""),
            limits=msgspec.structs.replace(LIMITS, **limits),
        )
        return claim(made)

    async def start(self, given: Claim) -> tuple[MemoryControl, str, Handle]:
        one = given.spec
        control = self.api.controls[one.attempt] = MemoryControl(given)
        return (
            control,
            one.attempt,
            await self.backend.launch(Launch(one.attempt, one.deployment, one.number, TOKEN, one.limits)),
        )

    async def ended(self, attempt: str, handle: Handle) -> Status:
        async def gone() -> bool:
            return not (await self.backend.poll(attempt, handle)).running

        await eventually(gone, 60)
        status = await self.backend.poll(attempt, handle)
        await self.backend.stop(attempt, handle)
        assert self.machine.remains(attempt) == []
        return status

    async def build(self, given: Claim) -> MemoryControl:
        control, attempt, handle = await self.start(given)
        await self.ended(attempt, handle)
        logs = [log.read_text() for log in self.machine.running(attempt).folder.glob("*.log")]
        control.agent_log = "\n".join(logs)  # type: ignore[attr-defined]
        return control

    async def ticking(self, name: str) -> tuple[MemoryControl, str, Handle]:
        """A build that is at it, with a process of its step in the table."""
        control, attempt, handle = await self.start(self.claim(name, node_app(SLOW)))
        await eventually(lambda: "tick 3" in text(control), 60)
        assert len(self.machine.processes(attempt)) > 4
        return control, attempt, handle


def node_app(build: str) -> dict[str, str]:
    package = {"name": "site", "private": True, "scripts": {"build": "node build.mjs"}}
    return {"package.json": json.dumps(package), "build.mjs": build}


@pytest.fixture(scope="module")
def git(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    with GitServer(tmp_path_factory.mktemp("git")) as server:
        yield server


@pytest.fixture
async def site(machine: EcsMachine, git: GitServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    for name, value in machine.env.items():
        monkeypatch.setenv(name, value)
    async with BuildApi().serve() as api, EcsBackend(machine.for_backend(api.url)) as backend:
        yield Site(machine, backend, api, git)
        for attempt in await backend.existing():
            await backend.stop(attempt, None)


async def test_a_site_is_cloned_built_and_published(site: Site) -> None:
    page = 'import fs from "node:fs"; fs.mkdirSync("dist"); fs.writeFileSync("dist/index.html", "on ECS");'
    built = await site.build(site.claim("page", node_app(page)))
    assert built.published is not None, shown(built)
    assert list(built.blobs.values()) == [b"on ECS"]
    assert site.api.tokens == {f"Bearer {TOKEN}"}


async def test_the_next_task_finds_what_the_last_one_left(site: Site) -> None:
    script = """
        import fs from "node:fs";
        const note = "node_modules/.cache/note", old = fs.existsSync(note) ? fs.readFileSync(note, "utf8") : "nothing";
        fs.mkdirSync("node_modules/.cache", {recursive: true});
        fs.writeFileSync(note, old + "+");
        fs.mkdirSync("dist");
        fs.writeFileSync("dist/index.html", old);
    """
    given = site.claim("cached", node_app(script))
    first = await site.build(given)
    assert first.left is not None, shown(first)
    again = claim(msgspec.structs.replace(given.spec, deployment=new_id("dpl"), attempt=new_id("att")))
    control, attempt, handle = await site.start(again)
    control.cached, control.archives = first.left, first.blobs
    await site.ended(attempt, handle)
    assert control.published is not None, shown(control)
    assert b"nothing+" in control.blobs.values()
    assert "Restored from cache" in text(control)


async def test_a_step_reaches_neither_token_nor_keys(site: Site) -> None:
    script = """
        import {readdirSync, readFileSync} from "node:fs";
        const seen = [JSON.stringify(process.env)];
        for (const pid of readdirSync("/proc").filter(name => /^[0-9]+$/.test(name)))
          for (const file of ["environ", "cmdline", "mem"])
            try { seen.push(readFileSync(`/proc/${pid}/${file}`, "utf8")); } catch {}
        console.log("looked at " + seen.length);
        console.log("leaks " + seen.filter(text => /AWS_[A-Z]|smb_|ssm:|role-secret/.test(text)).length);
        process.exit(1);
    """
    built = await site.build(site.claim("spy", node_app(script)))
    assert "leaks 0" in text(built).splitlines(), shown(built)
    assert "looked at 1" not in text(built).splitlines()


async def test_a_failing_build_is_the_builds_own_failure(site: Site) -> None:
    built = await site.build(site.claim("fails", node_app("process.exit(3)")))
    assert "ended with exit code 3" in failure(built).message


async def test_the_log_is_whole_in_order_and_utf8(site: Site) -> None:
    script = 'process.stdout.write(Buffer.from([0xff, 10])); for (let n = 0; n < 100000; n++) console.log("line " + n);'
    built = await site.build(site.claim("talks", node_app(f"{script} process.exitCode = 1;")))
    lines = [line.text for line in built.lines if line.text.startswith("line ")]
    assert lines == [f"line {n}" for n in range(100_000)], shown(built)[:2000]
    assert "\N{REPLACEMENT CHARACTER}" in text(built).splitlines()


async def test_a_cancelled_build_leaves_no_process(site: Site) -> None:
    _, attempt, handle = await site.ticking("cancelled")
    await site.backend.stop(attempt, handle)
    assert site.machine.remains(attempt) == []


async def test_an_agent_that_crashes_takes_its_steps_along(site: Site) -> None:
    _, attempt, handle = await site.ticking("crashed")
    site.machine.crash(attempt)
    status = await site.ended(attempt, handle)
    assert (status.ended.code, status.ended.infrastructure) == ("build_server_died", True)
    assert "Essential container in task exited" in status.detail


async def test_a_runner_out_of_memory_is_the_builds_own_failure(site: Site) -> None:
    _, attempt, handle = await site.ticking("hungry")
    site.machine.out_of_memory(attempt)
    status = await site.ended(attempt, handle)
    assert (status.ended.code, status.ended.infrastructure) == ("out_of_memory", False)


async def test_a_build_past_its_deadline_ends(site: Site) -> None:
    built = await site.build(site.claim("endless", node_app(SLOW), build_timeout_s=8))
    assert failure(built).code == "timeout", shown(built)


async def test_a_build_taken_up_by_another_process_by_its_json_handle(site: Site) -> None:
    _, attempt, handle = await site.ticking("taken-up")
    later: Any = json.loads(json.dumps(handle))
    async with EcsBackend(site.backend._settings) as other:
        assert (await other.poll(attempt, later)).running
        await other.stop(attempt, later)
    assert site.machine.remains(attempt) == []
