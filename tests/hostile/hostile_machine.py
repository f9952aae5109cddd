"""Run as `python -m tests.hostile.hostile_machine REQUEST`, as root: hostile builds by the real agent and backend.

REQUEST is a JSON file: `root` (a folder), `sandbox`, `names` of builds. The results go to `<root>/results.json`.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from scalemesh.buildserver.control.memory import MemoryControl
from scalemesh.core.build import BuildErrored, BuildSettings, StepFinished
from scalemesh.dispatch.backends import processes
from scalemesh.testing.git_server import GitServer
from tests.hostile.hostile_builds import BUILDS, Build
from tests.hostile.hostile_world import World
from tests.integration.build_api import BuildApi
from tests.integration.builds import LIMITS, Farm, claim, remains, spec

AT_ONCE = 2
UIDS = range(230_000, 231_000)  # nobody else's: other tests kill by uid


async def main(request: dict[str, Any]) -> dict[str, Any]:
    world = World(Path(request["root"]))
    world.enter()
    gate = asyncio.Semaphore(AT_ONCE)
    farm = Farm(world.platform, BuildApi(), sandbox=request["sandbox"], uids=UIDS)
    with GitServer(world.platform / "repositories") as git:
        async with farm.api.serve(), farm.open():

            async def one(name: str) -> dict[str, Any]:
                async with gate:
                    return await run(farm, git, world, name, BUILDS[name])

            results = await asyncio.gather(*map(one, request["names"]))
    return dict(zip(request["names"], results, strict=True))


def own_node() -> str | None:
    """The machine's own, whatever its age: in this world no registry can be reached."""
    if not shutil.which("node"):
        return None
    shown = subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
    return shown.strip().removeprefix("v")


async def run(farm: Farm, git: GitServer, world: World, name: str, build: Build) -> dict[str, Any]:
    repository = git.repository(name, {"build.sh": build.script, **build.files})
    commit = repository.git("rev-parse", "main").strip()
    settings = BuildSettings(
        install_command=build.install,
        build_command=build.command,
        output_directory=build.output,
        node_version=own_node(),
    )
    env = {
        "PLATFORM": str(world.platform),
        "API": farm.api.url,
        **build.env,
        **build.secrets,
    }
    given = claim(
        spec(
            repository.url,
            commit,
            settings=settings,
            limits=msgspec.structs.replace(LIMITS, **build.limits),
        ),
        env=env,
        secret_names=list(build.secrets),
    )
    attempt = given.spec.attempt
    started = time.monotonic()
    control, handle = await farm.start(given)
    await farm.ended(attempt, handle, within_s=120)
    took_s = time.monotonic() - started
    uid = (farm.data / "builds" / attempt).lstat().st_uid
    survivors = len(processes.of_uid(uid))
    agent_log = (farm.data / "builds" / attempt / "agent.log").read_text()
    problem = ""
    try:
        await farm.backend.stop(attempt, handle)
    except Exception as error:  # noqa: BLE001  whatever it was, the other builds go on
        problem = repr(error)[:500]
    left = [*remains(attempt), *map(str, processes.of_uid(uid))]
    if (farm.data / "builds" / attempt).exists():
        left.append("its folder")
    return summary(control) | {
        "took_s": took_s,
        "survivors": survivors,
        "agent_log": agent_log[-3000:],
        "stop_problem": problem,
        "left": left,
    }


def summary(control: MemoryControl) -> dict[str, Any]:
    failed = next((event for event in control.events if isinstance(event, BuildErrored)), None)
    files = control.published.files if control.published else {}
    return {
        "code": failed.code if failed else None,
        "message": failed.message if failed else "",
        "infrastructure": failed.infrastructure if failed else False,
        "details": [event.detail for event in control.events if isinstance(event, StepFinished)],
        "lines": [line.text for line in control.lines],
        "longest": max((len(line.text.encode()) for line in control.lines), default=0),
        "seqs": [line.seq for line in control.lines] == list(range(1, len(control.lines) + 1)),
        "files": {path: control.blobs[e.identity.sha256][:4096].decode("latin-1") for path, e in files.items()},
        "variants": {path: [n for n in ("br", "zstd", "gzip") if getattr(e, n)] for path, e in files.items()},
        "types": {path: e.type for path, e in files.items()},
        "variant_hashes": {path: e.br.sha256 if e.br else "" for path, e in files.items()},
        "hashes": {path: e.identity.sha256 for path, e in files.items()},
    }


if __name__ == "__main__":
    asked = json.loads(Path(sys.argv[1]).read_text())
    os.umask(0o022)
    done = asyncio.run(main(asked))
    Path(asked["root"], "results.json").write_text(json.dumps(done))
