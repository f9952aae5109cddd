"""`scalemesh doctor`: what is in force on this machine, found by trying, and how to mend what is missing."""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

from scalemesh.core.clock import rfc3339
from scalemesh.dispatch.toolchains.catalog import CATALOG, host_node
from scalemesh.errors import BadSettings, Unavailable
from scalemesh.logs import open_bus
from scalemesh.sandbox.probe import Finding, probe
from scalemesh.settings import Settings, load

_BUS_S = 5


def examine(data_dir: Path | None = None) -> list[Finding]:
    """Every finding; `required` ones decide whether builds can run."""
    settings = load(os.environ, data_dir=data_dir)
    return [*_isolation(settings), _limits(settings), _git(), _node(settings), _space(settings), _bus(settings)]


def _isolation(settings: Settings) -> list[Finding]:
    if settings.build.sandbox == "none":
        fix = "Unset SCALEMESH_BUILD_SANDBOX unless you trust every repository."
        return [Finding("sandbox", ok=False, detail="switched off by SCALEMESH_BUILD_SANDBOX=none", fix=fix)]
    return asyncio.run(probe(settings.build.uid_first))


def _limits(settings: Settings) -> Finding:
    build, gb = settings.build, 1024**3
    detail = (
        f"each build: {build.memory_bytes / gb:g} GB memory, {build.cpus:g} processors, {build.processes} processes, "
        f"{build.disk_bytes / gb:g} GB disk, {build.timeout_s // 60} min"
    )
    return Finding("build limits", ok=True, detail=detail)


def _git() -> Finding:
    found = shutil.which("git")
    if not found:
        return Finding("git", ok=False, detail="not found", fix="Install git with your system's package manager.")
    version = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
    return Finding("git", ok=True, detail=f"{version.split()[-1]} at {found}")


def _node(settings: Settings) -> Finding:
    own = host_node(None)
    store = sorted(path.name for path in (settings.data_dir / "toolchains").glob("*") if path.is_dir())
    line = CATALOG["node"].default
    detail = f"the system's {own}" if own else f"{line}, fetched as a wheel when a build needs it"
    return Finding("node", ok=True, detail=detail + (f"; kept: {', '.join(store)}" if store else ""))


def _space(settings: Settings) -> Finding:
    folder = next(path for path in (settings.data_dir, *settings.data_dir.parents) if path.exists())
    free = shutil.disk_usage(folder).free
    ok = free > settings.build.disk_bytes
    detail = f"{free / 1024**3:.0f} GB free at {folder} (python {sys.version.split()[0]})"
    return Finding("disk", ok, detail, "" if ok else "Free some space: one build may use SCALEMESH_BUILD_DISK.")


def _bus(settings: Settings) -> Finding:
    try:
        count, latest = asyncio.run(_set_aside(settings.log_bus_url))
    except BadSettings as error:
        detail, fix = error.message, error.hint or ""
    except (Unavailable, TimeoutError):
        detail, fix = "does not answer", "Start the broker, or correct SCALEMESH_LOG_BUS_URL."
    else:
        detail = settings.log_bus_url.partition(":")[0]  # the rest may hold a password
        if not count:
            return Finding("log bus", ok=True, detail=f"{detail}, nothing set aside")
        detail += f", batches that the archive refused: {count}{latest}"
        fix = "Mend what it says, then empty `scalemesh:logs:set-aside` in Redis, or the topic `<topic>-set-aside`."
    return Finding("log bus", False, detail, fix, required=False)


async def _set_aside(url: str) -> tuple[int, str]:
    """How many batches, and what is to be said of the latest."""
    async with asyncio.timeout(_BUS_S), open_bus(url) as bus:
        count = await bus.count_set_aside()
        latest = (await bus.list_set_aside())[:1] if count else []
        return count, "".join(f"; the latest at {rfc3339(one.at)}, of {one.deployment}: {one.reason}" for one in latest)
