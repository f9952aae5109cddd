"""The agent as a process, steps in the real sandbox, git from a real server; only the API is in memory."""

import asyncio
import json
import os
import re
import signal
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec
import psutil
import pytest

from scalemesh.buildserver.control.memory import MemoryControl
from scalemesh.core.build import BuildErrored, BuildSettings, Claim, Credentials, SourceResolved
from scalemesh.core.ids import new_id
from scalemesh.testing.git_server import GitServer
from tests.integration.build_api import BuildApi
from tests.integration.builds import LIMITS, Farm, below, claim, eventually, failure, remains, shown, spec, text

PAGE = 'import {mkdirSync, writeFileSync} from "node:fs"; mkdirSync("dist"); writeFileSync("dist/index.html", "built");'
SLOW = 'for (let n = 0; ; n++) { console.log("tick " + n); await new Promise(done => setTimeout(done, 50)); }'


def node_app(build: str) -> dict[str, str]:
    """No dependencies, so that no registry is asked."""
    package = {"name": "site", "private": True, "scripts": {"build": "node build.mjs"}}
    return {"package.json": json.dumps(package), "build.mjs": build}


def of(git: GitServer, name: str, files: dict[str, str]) -> Claim:
    repository = git.repository(name, files)
    settings = BuildSettings(install_command="")
    return claim(spec(repository.url, repository.git("rev-parse", "main").strip(), settings=settings))


def limited(given: Claim, **limits: int) -> Claim:
    return msgspec.structs.replace(
        given, spec=msgspec.structs.replace(given.spec, limits=msgspec.structs.replace(LIMITS, **limits))
    )


async def test_static_site(farm: Farm, git: GitServer) -> None:
    given = of(git, "static", {"index.html": "<h1>hi</h1>", "about/index.html": "about"})
    built = await farm.build(given)
    assert built.published is not None, shown(built)
    assert sorted(built.published.files) == ["/about/index.html", "/index.html"]
    assert built.blobs[built.published.files["/index.html"].identity.sha256] == b"<h1>hi</h1>"


async def test_exact_commit_of_a_branch_that_has_moved_on(farm: Farm, git: GitServer) -> None:
    given = of(git, "moved", {"index.html": "first"})
    git.repository("moved-other", {"index.html": "x"})
    built = await farm.build(given)
    (source,) = [e for e in built.events if isinstance(e, SourceResolved)]
    assert f"commit {source.commit}" == f"commit {given.spec.source.commit}"  # type: ignore[union-attr]
    assert set(built.blobs.values()) == {b"first"}


@pytest.mark.parametrize("message", ["m" * 50_000, "Harmless\n\n" + f"{'0' * 40}\n{'f' * 40}\nMallory\n" * 600])
async def test_no_message_says_which_commit_it_is(farm: Farm, git: GitServer, message: str) -> None:
    repository = git.repository("forged", {"index.html": "x"})
    commit = repository.commit({"index.html": "y"}, message=message)
    built = await farm.build(claim(spec(repository.url, commit)))
    (source,) = [e for e in built.events if isinstance(e, SourceResolved)]
    tree = repository.git("rev-parse", f"{commit}^{{tree}}").strip()
    assert (source.commit, source.tree, source.author) == (commit, tree, "Ada Lovelace")


async def test_build_script(farm: Farm, git: GitServer) -> None:
    built = await farm.build(of(git, "script", node_app(PAGE)))
    assert built.published is not None, shown(built)
    assert list(built.blobs.values()) == [b"built"]


async def test_failing_build(farm: Farm, git: GitServer) -> None:
    built = await farm.build(of(git, "fails", node_app('console.error("no ./Header"); process.exit(3);')))
    assert "`npm run build` ended with exit code 3." in failure(built).message
    assert "no ./Header" in text(built)
    assert built.published is None


async def test_secrets_and_their_encodings_stay_out_of_the_log(farm: Farm, git: GitServer) -> None:
    script = (
        'const s = process.env.TOKEN; console.log("plain " + s); console.log("b64 " + btoa("user:" + s));'
        'console.log("url " + encodeURIComponent(s)); process.stdout.write("cut " + s.slice(0, 9));'
        "setTimeout(() => { process.stdout.write(s.slice(9) + '\\n'); process.exit(1); }, 300);"
    )
    secret = "tok/en+with odd&chars-123456"
    given = msgspec.structs.replace(of(git, "secrets", node_app(script)), env={"TOKEN": secret}, secret_names=["TOKEN"])
    built = await farm.build(given)
    shown_lines = [line.text for line in built.lines if line.text.startswith(("plain", "b64", "url", "cut"))]
    assert len(shown_lines) == 4, shown(built)
    assert all("[redacted]" in line for line in shown_lines), shown_lines
    assert secret[9:] not in text(built)


async def test_build_has_neither_token_nor_api(farm: Farm, git: GitServer) -> None:
    script = """
        import {readdirSync, readFileSync} from "node:fs";
        const seen = [JSON.stringify(process.env)];
        for (const dir of ["/", "/workspace", "/home/build", "/opt", "/proc/1", "/etc"])
          seen.push(readdirSync(dir).join(" "));
        for (const pid of readdirSync("/proc").filter(name => /^[0-9]+$/.test(name)))
          for (const file of ["environ", "cmdline"])
            try { seen.push(readFileSync(`/proc/${pid}/${file}`, "utf8")); } catch {}
        const leaks = seen.filter(text => /smb_token|toolchains[.]sock|scalemesh[.]main/.test(text));
        console.log("LEAKS " + leaks.length);
        try { await fetch(process.env.API, {signal: AbortSignal.timeout(5000)}); console.log("REACHED"); }
        catch (error) { console.log("REFUSED " + error.cause?.code); }
        process.exit(1);
    """
    given = msgspec.structs.replace(of(git, "nosy", node_app(script)), env={"API": farm.api.url})
    built = await farm.build(given)
    assert "LEAKS 0" in text(built), shown(built)
    assert "REFUSED" in text(built), shown(built)


async def test_memory_limit(farm: Farm, git: GitServer) -> None:
    hungry = "const kept = []; for (;;) kept.push(Buffer.alloc(16 * 1024 * 1024, 1));"
    built = await farm.build(limited(of(git, "hungry", node_app(hungry)), memory_bytes=300 * 1024**2))
    assert failure(built).code == "out_of_memory", shown(built)


async def test_time_limit(farm: Farm, git: GitServer) -> None:
    built = await farm.build(limited(of(git, "endless", node_app(SLOW)), build_timeout_s=4))
    assert failure(built).code == "timeout", shown(built)


async def test_disk_limit(farm: Farm, git: GitServer) -> None:
    greedy = """
        import {appendFileSync} from "node:fs"; const block = Buffer.alloc(4 * 1024 * 1024, 1);
        for (let n = 0; n < 100; n++) { appendFileSync("big", block); await new Promise(done => setTimeout(done, 50)); }
        await new Promise(done => setTimeout(done, 20000));
    """
    built = await farm.build(limited(of(git, "greedy", node_app(greedy)), disk_bytes=100 * 1024**2))
    assert failure(built).code == "disk", shown(built)


async def test_log_limit(farm: Farm, git: GitServer) -> None:
    chatty = 'for (let n = 0; n < 1e6; n++) console.log("a line that says nothing " + n);'
    built = await farm.build(limited(of(git, "chatty", node_app(chatty)), log_bytes=100_000))
    assert failure(built).code == "log_limit", shown(built)[-3000:]
    assert [line.seq for line in built.lines] == list(range(1, len(built.lines) + 1))
    assert re.fullmatch(r"… \d+ lines? dropped: limit", built.lines[-1].text), built.lines[-1]


@pytest.mark.parametrize("count", [10_000, pytest.param(100_000, marks=pytest.mark.matrix)])
async def test_many_lines_arrive_once_and_in_order(farm: Farm, git: GitServer, count: int) -> None:
    many = PAGE + f'for (let n = 0; n < {count}; n++) console.log("n " + n);'
    built = await farm.build(of(git, "lines", node_app(many)))
    numbered = [line.text for line in built.lines if line.text.startswith("n ")]
    assert numbered == [f"n {n}" for n in range(count)]
    assert built.published is not None


async def test_private_repository_with_its_password(farm: Farm, git: GitServer) -> None:
    given = of(git, "private", {"index.html": "private"})
    git.passwords["private"] = "ada:hunter22secret"
    refused = await farm.build(given)
    assert failure(refused).code in {"repository_private", "repository_unavailable"}, shown(refused)
    known = Credentials(username="ada", password="hunter22secret")
    fresh = msgspec.structs.replace(given.spec, attempt=new_id("att"))
    again = msgspec.structs.replace(given, credentials=known, spec=fresh)
    built = await farm.build(again)
    assert built.published is not None, shown(built)
    assert "hunter22secret" not in text(built) + text(refused)


async def test_private_addresses_only_where_the_operator_says_so(farm: Farm, git: GitServer) -> None:
    given = of(git, "loopback", {"index.html": "x"})
    closed = msgspec.structs.replace(given, spec=msgspec.structs.replace(given.spec, git_allow_private=False))
    built = await farm.build(closed)
    assert built.published is None
    assert "127.0.0.1" in failure(built).message


async def test_cancel_ends_within_seconds_and_stop_leaves_nothing(farm: Farm, git: GitServer) -> None:
    given = of(git, "cancel", node_app(SLOW))
    control, handle = await farm.start(given)
    await eventually(lambda: "tick 3" in text(control), 30)
    control.canceled = True
    await farm.ended(given.spec.attempt, handle, within_s=10)
    await farm.backend.stop(given.spec.attempt, handle)
    assert remains(given.spec.attempt) == []
    assert processes_below(farm) == []
    assert [e for e in control.events if isinstance(e, BuildErrored)] == []


async def test_killed_agent_takes_its_steps_with_it(farm: Farm, git: GitServer) -> None:
    given = of(git, "killed", node_app(SLOW))
    control, handle = await farm.start(given)
    await eventually(lambda: "tick 3" in text(control), 30)
    below = psutil.Process(handle["pid"]).children(recursive=True)
    assert len(below) >= 3
    os.kill(handle["pid"], signal.SIGKILL)
    await eventually(lambda: not any(process.is_running() for process in below), 5)
    await farm.backend.stop(given.spec.attempt, handle)
    assert remains(given.spec.attempt) == []


async def test_stop_in_every_step_leaves_nothing(farm: Farm, git: GitServer) -> None:
    for n in range(6):
        given = of(git, f"stopped-{n}", node_app(SLOW))
        control, handle = await farm.start(given)
        await eventually(partial(has_lines, control, n * 3), 30)
        await farm.backend.stop(given.spec.attempt, handle)
        assert (remains(given.spec.attempt), processes_below(farm)) == ([], []), f"after {n * 3} lines"


async def test_api_that_is_away_for_a_while_loses_nothing(farm: Farm, git: GitServer) -> None:
    counting = (
        PAGE + 'for (let n = 0; n < 60; n++) { console.log("tick " + n); await new Promise(d => setTimeout(d, 50)); }'
    )
    given = of(git, "away", node_app(counting))
    control, handle = await farm.start(given)
    await eventually(lambda: "tick 3" in text(control), 30)
    farm.api.is_away = True
    await asyncio.sleep(1.5)
    farm.api.is_away = False
    await farm.ended(given.spec.attempt, handle)
    ticks = [line.text for line in control.lines if line.text.startswith("tick ")]
    assert ticks == [f"tick {n}" for n in range(60)]
    assert control.published is not None


async def test_agent_whose_attempt_is_over_ends_by_itself(farm: Farm, git: GitServer) -> None:
    given = of(git, "fenced", node_app(SLOW))
    control, handle = await farm.start(given)
    await eventually(lambda: "tick 3" in text(control), 30)
    del farm.api.controls[given.spec.attempt]
    await farm.ended(given.spec.attempt, handle, within_s=10)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives builds uids of their own")
async def test_no_process_or_file_of_a_build_is_ever_roots(farm: Farm, git: GitServer) -> None:
    given = of(git, "uids", node_app(PAGE + "await new Promise(done => setTimeout(done, 700));"))
    control, handle = await farm.start(given)
    seen: dict[int, str] = {}
    owners: set[int] = set()
    folder = farm.data / "builds" / given.spec.attempt

    async def ended() -> bool:
        for process in family(handle["pid"]):
            with suppress(psutil.Error):
                command = " ".join(process.cmdline())
                if command and "launch.py" not in command:  # it is empty for a moment while the launcher starts
                    seen.update(dict.fromkeys(process.uids(), command))
        for path in below(folder):
            with suppress(FileNotFoundError):
                owners.add(path.lstat().st_uid)
        return control.published is not None

    await eventually(ended, 60)
    assert 0 not in owners
    assert len(seen) == 1, seen


def family(pid: int) -> list[psutil.Process]:
    with suppress(psutil.Error):
        agent = psutil.Process(pid)
        return [agent, *agent.children(recursive=True)]
    return []


async def test_without_a_sandbox(tmp_path: Path, git: GitServer) -> None:
    async with BuildApi().serve() as api, Farm(tmp_path, api, sandbox="none").open() as farm:
        given = of(git, "bare", node_app(PAGE + 'console.log("tick 3"); ' + SLOW))
        control, handle = await farm.start(given)
        await eventually(lambda: "tick 3" in text(control), 30)
        os.kill(handle["pid"], signal.SIGKILL)
        await farm.backend.stop(given.spec.attempt, handle)
        assert (remains(given.spec.attempt), processes_below(farm)) == ([], [])


def has_lines(control: MemoryControl, count: int) -> bool:
    return len(control.lines) >= count


def processes_below(farm: Farm) -> list[str]:
    """Processes of this test's builds, by what they run."""
    found = []
    for process in psutil.process_iter(["cmdline", "uids", "status"]):
        if process.info["status"] == psutil.STATUS_ZOMBIE:
            continue  # dead, and about to be collected by process 1
        command = " ".join(process.info["cmdline"] or ())
        uids = process.info["uids"]
        if str(farm.data) in command or (uids and 210_000 <= uids.real < 211_000):
            found.append(command)
    return found
