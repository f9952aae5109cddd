import asyncio
import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from scalemesh.buildserver import agent as module
from scalemesh.buildserver.agent import Agent, Exit
from scalemesh.buildserver.control.memory import MemoryControl
from scalemesh.buildserver.runner import Runner
from scalemesh.buildserver.toolchains import Toolchain
from scalemesh.core.build import (
    BuildErrored,
    BuildSettings,
    Claim,
    Credentials,
    PlanMade,
    SourceResolved,
    StepFinished,
    StepStarted,
    UploadSource,
)
from scalemesh.core.manifest import Manifest
from scalemesh.errors import BuildFailed, Conflict, InfrastructureFault, InvalidInput, Unavailable
from tests.unit.buildserver.fake_runner import COMMIT, TREE, FakeRunner, hangs, makes, result, says
from tests.unit.buildserver.test_build_environment import claim

NODE_APP = {"package.json": json.dumps({"scripts": {"build": "node build.mjs"}}), "package-lock.json": "{}"}


class Toolbox:
    """Toolchains that need no store."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self._fault = fault

    async def ensure(self, name: str, version: str | None) -> Toolchain:
        self.asked.append((name, version))
        if self._fault:
            raise self._fault
        return Toolchain(name, version or "20.0.0", Path("/opt") / name / "bin")


def claimed(env: dict[str, str] | None = None, **fields: Any) -> Claim:
    given = claim(env or {})
    of_spec = {name: fields.pop(name) for name in list(fields) if name in given.spec.__struct_fields__}
    return msgspec.structs.replace(given, spec=msgspec.structs.replace(given.spec, **of_spec), **fields)


async def opened(runner: FakeRunner) -> Runner:
    return runner


async def build(
    memory: MemoryControl, runner: FakeRunner, toolbox: Toolbox | None = None, within_s: float = 10
) -> Exit:
    agent = Agent(memory, toolbox or Toolbox())
    async with asyncio.timeout(within_s):
        return await agent.run(await agent.claim(), opened(runner))


def failed(memory: MemoryControl) -> BuildErrored:
    (event,) = [event for event in memory.events if isinstance(event, BuildErrored)]
    return event


@pytest.fixture
def runner(tmp_path: Path) -> FakeRunner:
    return FakeRunner(tmp_path)


@pytest.fixture
def memory() -> MemoryControl:
    return MemoryControl(claimed())


async def test_static_site_is_published(memory: MemoryControl, runner: FakeRunner) -> None:
    assert await build(memory, runner) == Exit.DONE
    assert memory.published is not None
    entry = memory.published.files["/index.html"]
    assert memory.blobs[entry.identity.sha256] == b"<h1>hi</h1>"


async def test_commit_is_reported_as_checked_out(memory: MemoryControl, runner: FakeRunner) -> None:
    await build(memory, runner)
    assert memory.events[1] == SourceResolved(
        n=1, commit=COMMIT, tree=TREE, author="Ada", message="Ship it\n\nAll of it"
    )


async def test_steps_in_order(memory: MemoryControl, runner: FakeRunner) -> None:
    runner.files = NODE_APP
    runner.acts["npm run build"] = makes({"dist/index.html": "built"})
    await build(memory, runner)
    assert [e.step for e in memory.events if isinstance(e, StepStarted)] == [
        "clone",
        "detect",
        "install",
        "build",
        "upload",
    ]
    assert [e.exit_code for e in memory.events if isinstance(e, StepFinished)] == [0] * 5
    assert memory.published is not None
    assert list(memory.published.files) == ["/index.html"]


async def test_steps_without_a_command_are_left_out(memory: MemoryControl, runner: FakeRunner) -> None:
    await build(memory, runner)
    assert [e.step for e in memory.events if isinstance(e, StepStarted)] == ["clone", "detect", "upload"]


async def test_commands_run_where_the_project_is(memory: MemoryControl, runner: FakeRunner) -> None:
    memory._claim = claimed(settings=BuildSettings(root_directory="apps/web"))
    runner.files = {f"apps/web/{name}": content for name, content in NODE_APP.items()}
    runner.acts["npm run build"] = makes({"apps/web/dist/index.html": "built"})
    await build(memory, runner)
    assert runner.commands[-1].cwd.endswith("/workspace/apps/web")
    assert memory.published is not None


async def test_a_root_directory_that_was_taken_away_is_the_builds_own_failure(
    memory: MemoryControl, runner: FakeRunner
) -> None:
    async def take_away(runner: FakeRunner, *_: object) -> None:
        shutil.rmtree(runner.workspace / "apps/web")
        (runner.workspace / "apps/web").symlink_to("/etc")

    memory._claim = claimed(settings=BuildSettings(root_directory="apps/web"))
    runner.files = {f"apps/web/{name}": content for name, content in NODE_APP.items()}
    runner.acts["npm ci"] = runner.acts["npm install"] = take_away
    await build(memory, runner)
    assert (failed(memory).code, failed(memory).infrastructure) == ("root_directory_not_found", False)


async def test_toolchains_come_before_the_machines_programs(memory: MemoryControl, runner: FakeRunner) -> None:
    toolbox = Toolbox()
    runner.files = {**NODE_APP, "pnpm-lock.yaml": "lockfileVersion: '9.0'\n"}
    runner.acts["pnpm run build"] = makes({"dist/index.html": "built"})
    await build(memory, runner, toolbox)
    path = runner.commands[-1].env["PATH"].split(":")
    assert dict(toolbox.asked) == {"node": None, "pnpm": "10"}
    assert path.index("/opt/pnpm/bin") < path.index("/usr/bin")
    assert path[0].endswith("node_modules/.bin")


async def test_only_missing_blobs_are_sent(memory: MemoryControl, runner: FakeRunner) -> None:
    await build(memory, runner)
    again = MemoryControl(claimed())
    again.blobs = dict.fromkeys(memory.blobs, b"kept as it is")
    runner.directory.joinpath("spool").rmdir()
    assert await build(again, runner) == Exit.DONE
    assert set(again.blobs.values()) == {b"kept as it is"}


async def test_upload_source(memory: MemoryControl, runner: FakeRunner) -> None:
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        member = tarfile.TarInfo("index.html")
        member.size = 4
        archive.addfile(member, io.BytesIO(b"sent"))
    memory = MemoryControl(claimed(source=UploadSource(tree="c" * 64)), source=tar.getvalue())
    await build(memory, runner)
    assert list(memory.blobs.values()) == [b"sent"]
    assert runner.commands == []


async def test_upload_that_leaves_the_workspace(runner: FakeRunner) -> None:
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../../escaped"))
    memory = MemoryControl(claimed(source=UploadSource(tree="c" * 64)), source=tar.getvalue())
    await build(memory, runner)
    assert failed(memory).code == "upload_invalid"
    assert not (runner.directory.parent / "escaped").exists()


async def test_failing_command(memory: MemoryControl, runner: FakeRunner) -> None:
    runner.files = NODE_APP
    runner.acts["npm run build"] = says("cannot resolve ./Header\n", exit_code=3)
    assert await build(memory, runner) == Exit.DONE
    assert failed(memory).code == "build_failed"
    assert "`npm run build` ended with exit code 3." in failed(memory).message
    assert not failed(memory).infrastructure
    assert memory.lines[-1].text == "cannot resolve ./Header"
    step = memory.events[-2]
    assert isinstance(step, StepFinished)
    assert (step.step, step.exit_code, step.detail) == ("build", 1, "`npm run build` ended with exit code 3.")


@pytest.mark.parametrize(
    ("reason", "code"), [("memory", "out_of_memory"), ("processes", "process_limit"), ("timeout", "timeout")]
)
async def test_limits(memory: MemoryControl, runner: FakeRunner, reason: str, code: str) -> None:
    async def act(*_: object) -> Any:
        return result(137, reason)

    runner.files = NODE_APP
    runner.acts["npm ci"] = act
    await build(memory, runner)
    assert failed(memory).code == code


async def test_missing_output_names_candidates(memory: MemoryControl, runner: FakeRunner) -> None:
    memory._claim = claimed(settings=BuildSettings(output_directory="public"))
    runner.files = NODE_APP
    runner.acts["npm run build"] = makes({"www/site/index.html": "here"})
    await build(memory, runner)
    assert failed(memory).code == "output_directory_not_found"
    assert "www/site" in failed(memory).message


async def test_guessed_output_is_looked_for(memory: MemoryControl, runner: FakeRunner) -> None:
    runner.files = NODE_APP
    runner.acts["npm run build"] = makes({"build/index.html": "here"})
    await build(memory, runner)
    assert memory.published is not None


async def test_output_that_is_a_link_out(memory: MemoryControl, runner: FakeRunner) -> None:
    async def act(*_: object) -> None:
        (runner.workspace / "dist").symlink_to("/etc")

    runner.files = NODE_APP
    runner.acts["npm run build"] = act
    await build(memory, runner)
    assert failed(memory).code == "output_not_a_folder"
    assert memory.blobs == {}


async def test_nothing_to_build(memory: MemoryControl, runner: FakeRunner) -> None:
    runner.files = {"README.md": "# hello"}
    await build(memory, runner)
    assert failed(memory).code == "nothing_to_build"
    assert "index.html" in failed(memory).message


async def test_empty_commit(memory: MemoryControl, runner: FakeRunner) -> None:
    runner.files = {}
    await build(memory, runner)
    assert failed(memory).code == "repository_empty"


async def test_no_front_page_is_a_warning(memory: MemoryControl, runner: FakeRunner) -> None:
    runner.files = NODE_APP
    runner.acts["npm run build"] = makes({"dist/about.html": "x"})
    await build(memory, runner)
    assert [line.text for line in memory.lines if line.level == "warn"] == [
        "'dist' has no index.html: the site's front page will be a 404."
    ]


@pytest.mark.parametrize(
    ("said", "code", "infrastructure"),
    [
        ("fatal: Authentication failed for 'https://x'", "repository_private", False),
        ("fatal: could not read Username for 'https://x': terminal prompts disabled", "repository_private", False),
        ("Host key verification failed.", "host_key_unknown", False),
        ("fatal: transport 'file' not allowed", "forbidden_transport", False),
        ("fatal: unable to access 'https://x/': Could not resolve host: x", "repository_unreachable", True),
        ("fatal: something new", "git_failed", False),
    ],
)
async def test_clone_failures(
    memory: MemoryControl, runner: FakeRunner, said: str, code: str, infrastructure: bool
) -> None:
    runner.acts["fetch"] = says(said + "\n", exit_code=128)
    await build(memory, runner)
    assert (failed(memory).code, failed(memory).infrastructure) == (code, infrastructure)


async def test_server_that_gives_out_no_commits_is_asked_for_the_ref(memory: MemoryControl, runner: FakeRunner) -> None:
    async def fetch(_: FakeRunner, step: Any, on_output: Any) -> Any:
        if "--depth=1" in step.argv:
            await on_output("stderr", b"error: Server does not allow request for unadvertised object aaaa\n")
            return result(128)
        assert step.argv[-1] == "main"
        return None

    runner.acts["fetch"] = fetch
    assert await build(memory, runner) == Exit.DONE
    assert memory.published is not None


async def test_commit_that_is_gone(memory: MemoryControl, runner: FakeRunner) -> None:
    runner.acts["fetch"] = says("fatal: remote error: upload-pack: not our ref aaaa\n", exit_code=128)
    await build(memory, runner)
    assert failed(memory).code == "commit_not_found"


async def test_credentials_are_gone_before_anything_else_runs(memory: MemoryControl, runner: FakeRunner) -> None:
    memory._claim = claimed(credentials=Credentials(username="ada", password="hunter22secret"))
    seen: list[str] = []

    async def fetch(_: FakeRunner, step: Any, __: Any) -> None:
        folder = Path(step.env["GIT_CONFIG_GLOBAL"]).parent
        seen.append((folder / "login").read_text())
        assert oct((folder / "login").stat().st_mode)[-3:] == "600"

    async def install(*_: object) -> None:
        assert [p for p in (runner.directory / "home").rglob("*") if p.is_file()] == []
        seen.append("installed")

    runner.files = NODE_APP
    runner.acts |= {"fetch": fetch, "npm ci": install, "npm run build": makes({"dist/index.html": "x"})}
    await build(memory, runner)
    assert seen == ["username=ada\npassword=hunter22secret\n", "installed"]


async def test_secrets_of_the_project_do_not_reach_the_log(runner: FakeRunner) -> None:
    memory = MemoryControl(claimed({"TOKEN": "tok-123456", "PLAIN": "plain-value"}, secret_names=["TOKEN"]))
    runner.files = NODE_APP
    runner.acts["npm run build"] = says("tok-123456 plain-value\n", exit_code=1)
    await build(memory, runner)
    assert "[redacted] plain-value" in [line.text for line in memory.lines]
    assert runner.commands[-1].env["TOKEN"] == "tok-123456"


async def test_log_limit_ends_the_build(runner: FakeRunner) -> None:
    memory = MemoryControl(claimed(limits=msgspec.structs.replace(claimed().spec.limits, log_bytes=1000)))
    runner.files = NODE_APP
    runner.acts["npm run build"] = says("a line of some length\n" * 1000)
    await build(memory, runner)
    assert failed(memory).code == "log_limit"
    *_, last, dropped = (line.text for line in memory.lines)
    assert last == "a line of some length"
    kept = [line.text for line in memory.lines].count("a line of some length")
    assert dropped == f"… {1000 - kept} lines dropped: limit"


async def test_plan_is_reported(memory: MemoryControl, runner: FakeRunner) -> None:
    runner.files = NODE_APP
    runner.acts["npm run build"] = makes({"dist/index.html": "x"})
    await build(memory, runner)
    (made,) = [e for e in memory.events if isinstance(e, PlanMade)]
    assert (made.plan.install_command, made.plan.build_command) == ("npm ci", "npm run build")


async def test_toolchain_that_cannot_be_had(memory: MemoryControl, runner: FakeRunner) -> None:
    runner.files = NODE_APP
    await build(memory, runner, Toolbox(BuildFailed("Node 3 cannot be had.", code="toolchain_version")))
    assert (failed(memory).code, failed(memory).infrastructure) == ("toolchain_version", False)


async def test_sandbox_that_does_not_open(memory: MemoryControl) -> None:
    async def opening() -> Any:
        raise InfrastructureFault("The sandbox cannot be set up.", code="no_sandbox")

    agent = Agent(memory, Toolbox())
    assert await agent.run(await agent.claim(), opening()) == Exit.DONE
    assert (failed(memory).code, failed(memory).infrastructure) == ("no_sandbox", True)


async def test_mistake_of_ours_is_tried_again(memory: MemoryControl, runner: FakeRunner) -> None:
    async def act(*_: object) -> None:
        raise ZeroDivisionError

    runner.acts["fetch"] = act
    await build(memory, runner)
    assert (failed(memory).code, failed(memory).infrastructure) == ("agent_failed", True)


async def test_refused_manifest_fails_the_build(runner: FakeRunner) -> None:
    class Strict(MemoryControl):
        async def manifest(self, manifest: Manifest) -> None:
            raise InvalidInput("A path is too long.", code="invalid_manifest")

    memory = Strict(claimed())
    await build(memory, runner)
    assert failed(memory).code == "invalid_manifest"


async def test_log_is_whole_before_the_manifest(runner: FakeRunner) -> None:
    class Ordered(MemoryControl):
        async def manifest(self, manifest: Manifest) -> None:
            assert isinstance(self.events[-1], StepFinished)
            assert "uploaded" in self.lines[-1].text
            await super().manifest(manifest)

    memory = Ordered(claimed())
    await build(memory, runner)
    assert memory.published is not None


async def test_cancel_kills_the_step(memory: MemoryControl, runner: FakeRunner) -> None:
    memory._claim = claimed(lease_s=1)
    runner.acts["fetch"] = hangs
    running = asyncio.create_task(build(memory, runner))
    await asyncio.wait_for(runner.running.wait(), 5)
    memory.canceled = True
    assert await running == Exit.CANCELED
    assert [e for e in memory.events if isinstance(e, BuildErrored)] == []


async def test_refused_lease_ends_the_agent(memory: MemoryControl, runner: FakeRunner) -> None:
    memory._claim = claimed(lease_s=1)
    runner.acts["fetch"] = hangs
    running = asyncio.create_task(build(memory, runner))
    await asyncio.wait_for(runner.running.wait(), 5)
    memory.fault = Conflict("another attempt has it")
    assert await running == Exit.REFUSED


async def test_silent_api_ends_the_agent(
    memory: MemoryControl, runner: FakeRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SILENT_LEASES", 1)
    memory._claim = claimed(lease_s=1)
    runner.acts["fetch"] = hangs
    running = asyncio.create_task(build(memory, runner))
    await asyncio.wait_for(runner.running.wait(), 5)
    memory.fault = Unavailable("gone for good")
    assert await running == Exit.SILENCE


async def test_api_that_comes_back_finds_the_build_going_on(memory: MemoryControl, runner: FakeRunner) -> None:
    memory._claim = claimed(lease_s=1)
    go_on = asyncio.Event()

    async def act(*_: object) -> None:
        await go_on.wait()

    runner.acts["fetch"] = act
    running = asyncio.create_task(build(memory, runner))
    await asyncio.wait_for(runner.running.wait(), 5)
    memory.fault = Unavailable("being restarted")
    asyncio.get_running_loop().call_later(0.5, setattr, memory, "fault", None)
    asyncio.get_running_loop().call_later(0.6, go_on.set)
    assert await running == Exit.DONE
    assert memory.published is not None


async def test_second_agent_of_an_attempt_is_refused(memory: MemoryControl) -> None:
    await Agent(memory, Toolbox()).claim()
    with pytest.raises(Conflict):
        await Agent(memory, Toolbox()).claim()


async def test_notices_of_the_session_are_lines(memory: MemoryControl, runner: FakeRunner) -> None:
    agent = Agent(memory, Toolbox())

    async def act(_: FakeRunner, __: Any, on_output: Any) -> Any:
        agent.notice("egress denied: 10.0.0.1:80: 10.0.0.1 is a private address")
        await on_output("stderr", b"connect ECONNREFUSED 10.0.0.1:80\n")
        return result(1)

    runner.files = NODE_APP
    runner.acts["npm ci"] = act
    await agent.run(await agent.claim(), opened(runner))
    assert failed(memory).code == "egress_denied"
    assert "egress denied: 10.0.0.1:80: 10.0.0.1 is a private address" in [line.text for line in memory.lines]
