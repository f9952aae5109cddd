"""Builds as processes of this machine: one agent per attempt, a session and an unprivileged uid of its own.

An attempt owns one folder, `<builds>/<attempt>`, which is also the claim on its uid: both exist until `stop`.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

from scalemesh.core.build import AgentOptions, CacheScope
from scalemesh.core.documents import encode
from scalemesh.dispatch.backends import processes
from scalemesh.dispatch.backends.base import Backend, Handle, Launch, Status
from scalemesh.dispatch.caches import Caches
from scalemesh.sandbox import folders
from scalemesh.sandbox.launcher import Launcher
from scalemesh.sandbox.limits import PREFIX, Cgroup, existing

_LOG_TAIL_BYTES = 2000


@dataclass(frozen=True)
class LocalSettings:
    """`uids` matter only to a platform that root started; `environ` is what of ours agents inherit.

    `readable`: what agents must reach beside python and their own folder, such as the platform's own repositories.
    """

    builds: Path
    toolchains: Path
    broker: Path
    api_url: str
    sandbox: Literal["bubblewrap", "none"]
    uids: range
    readable: tuple[Path, ...] = ()
    caches: Caches | None = None
    environ: Mapping[str, str] = field(default_factory=dict)


class LocalBackend(Backend):
    name = "local"

    def __init__(self, settings: LocalSettings) -> None:
        self._settings = settings
        self._launcher = Launcher((settings.toolchains, settings.broker, *settings.readable))
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    async def __aenter__(self) -> Self:
        settings = self._settings
        settings.builds.mkdir(mode=0o711, parents=True, exist_ok=True)
        for folder in (settings.toolchains, settings.broker, *settings.readable):
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        if settings.caches:
            settings.caches.open()
        return self

    async def launch(self, launch: Launch) -> Handle:
        return await asyncio.to_thread(self._launch, launch)

    async def poll(self, attempt: str, handle: Handle | None) -> Status:
        child = self._children.get(attempt)
        if child is not None and child.poll() is not None:
            return Status(running=False, detail=f"exit code {child.returncode}: {self._last_words(attempt)}")
        if child is None and not _is_alive(attempt, handle):
            return Status(running=False, detail=self._last_words(attempt))
        return Status(running=True)

    async def stop(self, attempt: str, handle: Handle | None, keep: CacheScope | None = None) -> None:
        await asyncio.to_thread(self._stop, attempt, keep)

    async def existing(self) -> set[str]:
        return await asyncio.to_thread(self._existing)

    def _launch(self, launch: Launch) -> Handle:
        folder = self._settings.builds / launch.attempt
        child = self._children.get(launch.attempt)
        if running := [child.pid] if child and child.poll() is None else processes.of_attempt(launch.attempt):
            return _handle(running[0])
        if folder.exists():
            self._stop(launch.attempt)
        uid = folders.claim(folder, self._settings.uids)
        _write_token(folder / "token", launch.token, uid)
        cgroup = Cgroup.create(launch.attempt, launch.limits)
        caches = self._settings.caches.readable(launch.caches) if self._settings.caches and launch.caches else []
        with (folder / "agent.log").open("wb") as log:
            _give(folder / "agent.log", uid)
            child = self._launcher.spawn(
                self._argv(launch, folder, caches),
                uid=uid,
                cwd=folder,
                env={**self._settings.environ, processes.ATTEMPT: launch.attempt},
                expose=(folder,),
                owned=caches,
                cgroups=cgroup.procs_paths if cgroup else (),
                stdout=log,
                stderr=log,
            )
        self._children[launch.attempt] = child
        return _handle(child.pid)

    def _argv(self, launch: Launch, folder: Path, caches: Sequence[Path]) -> Sequence[str]:
        options = AgentOptions(
            url=self._settings.api_url,
            attempt=launch.attempt,
            directory=str(folder),
            token=str(folder / "token"),
            toolchains=str(self._settings.toolchains),
            broker=str(self._settings.broker),
            sandbox=self._settings.sandbox,
            limits=launch.limits,
            caches=[str(path) for path in caches],
        )
        return (sys.executable, "-I", "-m", "scalemesh.main.agent", encode(options).decode())

    def _stop(self, attempt: str, keep: CacheScope | None = None) -> None:
        folder = self._settings.builds / attempt
        uid = folder.lstat().st_uid if folder.exists() else None
        processes.kill_tree(lambda: [*processes.of_attempt(attempt), *processes.working_in(folder)])
        for group in existing():
            if group.paths[0].name == PREFIX + attempt:
                group.kill()
                group.remove()
        if uid is not None and uid in self._settings.uids and os.geteuid() == 0:
            processes.kill(partial(processes.of_uid, uid))
        if child := self._children.pop(attempt, None):
            child.wait(timeout=10)
        if keep and self._settings.caches:
            self._settings.caches.keep(keep, folder)
        folders.remove(folder)

    def _existing(self) -> set[str]:
        folders = {path.name for path in self._settings.builds.iterdir() if path.name.startswith("att_")}
        return folders | set(self._children)

    def _last_words(self, attempt: str) -> str:
        """The end of what the agent itself printed, for the operator."""
        try:
            with (self._settings.builds / attempt / "agent.log").open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _LOG_TAIL_BYTES))
                lines = log.read().decode(errors="replace").strip().splitlines()
        except OSError:
            return "nothing is left of it"
        return lines[-1] if lines else "it said nothing"


def _handle(pid: int) -> dict[str, Any]:
    return {"pid": pid, "start_time": processes.start_time(pid), "boot_id": processes.boot_id()}


def _is_alive(attempt: str, handle: Handle | None) -> bool:
    if handle is None:
        return bool(processes.of_attempt(attempt))
    same_boot = handle["boot_id"] == processes.boot_id()
    return (
        same_boot and handle["start_time"] is not None and processes.start_time(handle["pid"]) == handle["start_time"]
    )


def _write_token(path: Path, token: str, uid: int | None) -> None:
    path.touch(mode=0o600)
    path.write_text(token)
    _give(path, uid)


def _give(path: Path, uid: int | None) -> None:
    if uid is not None:
        os.chown(path, uid, uid)
