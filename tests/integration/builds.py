"""Whole builds for tests: a claim for a repository, and an agent started as the platform starts it."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import msgspec

from scalemesh.buildserver.control.memory import MemoryControl
from scalemesh.core.build import (
    BuildErrored,
    BuildSettings,
    BuildSpec,
    CacheScope,
    Claim,
    Credentials,
    GitSource,
    Limits,
)
from scalemesh.core.ids import new_id
from scalemesh.dispatch.backends import processes
from scalemesh.dispatch.backends.base import Handle, Launch
from scalemesh.dispatch.backends.local import LocalBackend, LocalSettings
from scalemesh.dispatch.caches import Caches
from scalemesh.dispatch.toolchains.broker import Broker
from scalemesh.dispatch.toolchains.store import Store
from tests.integration.build_api import BuildApi

UIDS = range(210_000, 211_000)
LIMITS = Limits(memory_bytes=1024**3, build_timeout_s=120)


def spec(url: str, commit: str, **fields: Any) -> BuildSpec:
    made = BuildSpec(
        deployment=new_id("dpl"),
        attempt=new_id("att"),
        number=1,
        project="prj_1",
        project_name="site",
        team="team_1",
        target="production",
        url="http://site-abc.localhost:8080",
        source=GitSource(url=url, commit=commit, ref="main"),
        settings=BuildSettings(),
        limits=LIMITS,
        git_allow_private=True,
    )
    return msgspec.structs.replace(made, **fields)


def claim(build: BuildSpec, **fields: Any) -> Claim:
    made = Claim(spec=build, env={}, secret_names=[], credentials=Credentials(), first_seq=1, lease_s=6)
    return msgspec.structs.replace(made, **fields)


@dataclass
class Farm:
    """A local backend with its toolchains, and an API in memory."""

    data: Path
    api: BuildApi
    sandbox: Literal["bubblewrap", "none"] = "bubblewrap"
    uids: range = UIDS
    backend: LocalBackend = field(init=False)

    @asynccontextmanager
    async def open(self) -> AsyncIterator["Farm"]:
        settings = LocalSettings(
            builds=self.data / "builds",
            toolchains=self.data / "toolchains",
            broker=self.data / "broker",
            api_url=self.api.url,
            sandbox=self.sandbox,
            uids=self.uids,
            readable=(self.data / "repositories",),
            caches=Caches(self.data / "caches", 1024**3),
            environ={name: os.environ[name] for name in ("PATH", "SSL_CERT_FILE") if name in os.environ},
        )
        broker = Broker(Store(self.data / "toolchains"), self.data / "broker", self.uids)
        async with broker, LocalBackend(settings) as self.backend:
            try:
                yield self
            finally:
                for attempt in await self.backend.existing():
                    await self.backend.stop(attempt, None)

    async def start(self, claimed: Claim, source: bytes = b"") -> tuple[MemoryControl, Handle]:
        attempt = claimed.spec.attempt
        self.api.controls[attempt] = control = MemoryControl(claimed, source=source)
        launch = Launch(
            attempt, claimed.spec.deployment, claimed.spec.number, "smb_token", claimed.spec.limits, scope(claimed)
        )
        return control, await self.backend.launch(launch)

    async def ended(self, attempt: str, handle: Handle, within_s: float = 90) -> None:
        async def gone() -> bool:
            return not (await self.backend.poll(attempt, handle)).running

        await eventually(gone, within_s)

    async def build(self, claimed: Claim, source: bytes = b"") -> MemoryControl:
        """From launch to a stopped agent, whose caches are kept where it published."""
        control, handle = await self.start(claimed, source)
        await self.ended(claimed.spec.attempt, handle)
        log = self.data / "builds" / claimed.spec.attempt / "agent.log"
        control.agent_log = log.read_text()  # type: ignore[attr-defined]
        await self.backend.stop(claimed.spec.attempt, handle, scope(claimed) if control.published else None)
        return control


def scope(claimed: Claim) -> CacheScope:
    trust: Literal["production", "branch"] = "production" if claimed.spec.target == "production" else "branch"
    return CacheScope(project=claimed.spec.project, trust=trust)


def remains(attempt: str) -> list[str]:
    """Everything on this machine that has an attempt's name: processes, mounts, cgroups, folders and their owners."""
    found = [f"process {pid}" for pid in processes.of_attempt(attempt)]
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    found += [line for line in mounts if attempt in line]
    found += [str(path) for path in below(Path("/sys/fs/cgroup")) if attempt in path.name]
    return found


def below(folder: Path) -> list[Path]:
    """All that lies in it; unlike `rglob`, the walk bears a folder that is taken away under it."""
    return [Path(root, name) for root, folders, names in os.walk(folder) for name in (*folders, *names)]


async def eventually(look: Callable[[], Any], within_s: float = 20) -> None:
    """Polls `look`, which may be a coroutine function."""
    deadline = time.monotonic() + within_s
    while True:
        found = look()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return
        assert time.monotonic() < deadline, "not in time"
        await asyncio.sleep(0.02)


def failure(control: MemoryControl) -> BuildErrored:
    (failed,) = [event for event in control.events if isinstance(event, BuildErrored)]
    return failed


def text(control: MemoryControl) -> str:
    return "\n".join(line.text for line in control.lines)


def shown(control: MemoryControl) -> str:
    """Everything that an agent said, for an assertion's message."""
    return f"{text(control)}\n{[msgspec.to_builtins(e) for e in control.events]}\n{getattr(control, 'agent_log', '')}"
