"""Builds as containers of Docker or Podman: an agent and a runner per attempt, which share a folder and no process.

The runner has no network: what a step reaches, it reaches through the agent, by the guard's leave. Neither container
sees the engine's socket. Everything of an attempt carries its label; the engine's command line is the whole interface.
"""

import asyncio
import json
import os
import resource
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from scalemesh.core.build import AgentOptions, CacheScope
from scalemesh.core.documents import encode
from scalemesh.dispatch.backends.base import Backend, Ended, Handle, Launch, Status
from scalemesh.errors import BadSettings, InfrastructureFault
from scalemesh.sandbox.session import RUNNER_SOCKET

UID = 10001
COMMAND_S = 60.0
STOP_S = 5
AGENT_MEMORY_BYTES = 512 * 1024**2
BUILD, TOOLCHAINS, TOKEN, BROKER = "/build", "/toolchains", "/run/scalemesh-token", "/run/scalemesh"
_ATTEMPT, _INSTANCE = "dev.scalemesh.attempt", "dev.scalemesh.instance"
_OPEN_FILES = 65536
_PREFIX = "scalemesh-"


@dataclass(frozen=True)
class DockerSettings:
    """`engine`: the program (`docker`, `podman` or a path). `folder`: ours; each container sees
    one file of it."""

    engine: str
    image: str
    api_url: str
    instance: str
    folder: Path
    network: str = "bridge"


class DockerBackend(Backend):
    name = "docker"

    def __init__(self, settings: DockerSettings) -> None:
        self._settings = settings
        self._tokens = settings.folder / "tokens"

    async def __aenter__(self) -> Self:
        if shutil.which(self._settings.engine) is None:
            raise BadSettings(
                f"SCALEMESH_DOCKER_ENGINE: no program {self._settings.engine!r}.",
                hint="Install Docker or Podman, or name its program.",
                field="SCALEMESH_DOCKER_ENGINE",
            )
        self._tokens.mkdir(mode=0o711, parents=True, exist_ok=True)
        # A file of ours, because engines refuse `--dns` where there is no network: the runner answers names itself.
        (self._settings.folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        return self

    async def launch(self, launch: Launch) -> Handle:
        found = await self._containers(launch.attempt)
        if not {_name(launch.attempt, "agent"), _name(launch.attempt, "runner")} <= found.keys():
            await self._remove(launch.attempt)
            await asyncio.to_thread(self._write_token, launch)
            await self._engine("volume", "create", *self._labels(launch.attempt), _name(launch.attempt, "build"))
            await self._engine("run", "--detach", *self._runner(launch))
            await self._engine("run", "--detach", *self._agent(launch))
        return {"agent": _name(launch.attempt, "agent"), "runner": _name(launch.attempt, "runner")}

    async def poll(self, attempt: str, handle: Handle | None) -> Status:
        states = await self._containers(attempt)
        agent, runner = (states.get(_name(attempt, role)) for role in ("agent", "runner"))
        if runner and runner["OOMKilled"] and not runner["Running"]:
            ended = Ended("out_of_memory", "The build was killed: out of memory.", infrastructure=False)
            return Status(running=False, detail="runner: out of memory", ended=ended)
        if agent and agent["Running"]:
            return Status(running=True)
        detail = f"agent: exit code {agent['ExitCode']}" if agent else "no container"
        return Status(running=False, detail=detail)

    async def stop(self, attempt: str, handle: Handle | None, keep: CacheScope | None = None) -> None:
        await self._remove(attempt)

    async def existing(self) -> set[str]:
        mine = ("--filter", f"label={_INSTANCE}={self._settings.instance}")
        names = (await self._engine("ps", "--all", *mine, "--format", "{{.Names}}")).split()
        tokens = await asyncio.to_thread(os.listdir, self._tokens)
        return {name.removeprefix(_PREFIX).rpartition("-")[0] for name in names} | set(tokens)

    async def _remove(self, attempt: str) -> None:
        """Containers first: a volume in use stays."""
        found = await self._containers(attempt)
        if found:
            await self._engine("rm", "--force", "--volumes", *found)
        volume = _name(attempt, "build")
        if volume in (await self._engine("volume", "ls", "--quiet")).split():
            await self._engine("volume", "rm", "--force", volume)
        await asyncio.to_thread(shutil.rmtree, self._tokens / attempt, ignore_errors=True)

    async def _containers(self, attempt: str) -> dict[str, dict[str, Any]]:
        """Name → state, of the attempt's containers."""
        listed = await self._engine("ps", "--all", "--quiet", "--filter", f"label={_ATTEMPT}={attempt}")
        if not (ids := listed.split()):
            return {}
        seen = json.loads(await self._engine("inspect", "--type", "container", *ids))
        return {each["Name"].lstrip("/"): each["State"] for each in seen}

    def _agent(self, launch: Launch) -> list[str]:
        options = AgentOptions(
            url=self._settings.api_url,
            attempt=launch.attempt,
            directory=BUILD,
            token=f"{TOKEN}/token",
            toolchains=TOOLCHAINS,
            broker=BROKER,
            sandbox="offline-container",
            limits=launch.limits,
        )
        return [
            *self._container(launch, "agent", memory_bytes=AGENT_MEMORY_BYTES, cpus=1.0, processes=256),
            *("--network", self._settings.network, "--tmpfs", f"{BROKER}:rw,mode=1777"),
            *("--volume", f"{self._tokens / launch.attempt}:{TOKEN}:ro"),
            *("--volume", f"{self._toolchains()}:{TOOLCHAINS}"),
            self._settings.image,
            *("python", "-I", "-m", "scalemesh.main.agent", encode(options).decode()),
        ]

    def _runner(self, launch: Launch) -> list[str]:
        limits = launch.limits
        return [
            *self._container(
                launch, "runner", memory_bytes=limits.memory_bytes, cpus=limits.cpus, processes=limits.processes
            ),
            *("--network", "none", "--sysctl", "net.ipv4.ip_unprivileged_port_start=0"),
            *("--volume", f"{self._settings.folder / 'resolv.conf'}:/etc/resolv.conf:ro"),
            *("--volume", f"{self._toolchains()}:{TOOLCHAINS}:ro"),
            self._settings.image,
            *("python", "-I", "-m", "scalemesh.sandbox.inside.container", f"{BUILD}/{RUNNER_SOCKET}"),
        ]

    def _container(self, launch: Launch, role: str, *, memory_bytes: int, cpus: float, processes: int) -> list[str]:
        """What both have alike: nobody's rights, nothing to write but the build's folder and /tmp."""
        return [
            *("--name", _name(launch.attempt, role), *self._labels(launch.attempt)),
            *("--user", f"{UID}:{UID}", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--read-only"),
            *("--pids-limit", str(processes), "--cpus", str(cpus), "--memory", str(memory_bytes)),
            *("--memory-swap", str(memory_bytes), "--ulimit", f"nofile={_open_files()}"),
            *("--restart", "no", "--stop-timeout", str(STOP_S), "--workdir", BUILD, "--env", "HOME=/tmp"),
            *("--tmpfs", "/tmp:rw,exec,mode=1777", "--volume", f"{_name(launch.attempt, 'build')}:{BUILD}"),  # noqa: S108
        ]

    def _labels(self, attempt: str) -> tuple[str, ...]:
        return ("--label", f"{_ATTEMPT}={attempt}", "--label", f"{_INSTANCE}={self._settings.instance}")

    def _toolchains(self) -> str:
        """One volume for every build: agents write it, steps only read."""
        return f"scalemesh-toolchains-{self._settings.instance}"

    def _write_token(self, launch: Launch) -> None:
        folder = self._tokens / launch.attempt
        folder.mkdir(mode=0o711, exist_ok=True)
        (folder / "token").touch(mode=0o400)
        (folder / "token").chmod(0o600)
        (folder / "token").write_text(launch.token)
        if os.geteuid() == 0:
            os.chown(folder / "token", UID, UID)

    async def _engine(self, *args: str) -> str:
        """What the engine printed. Raises InfrastructureFault."""
        engine = self._settings.engine
        try:
            # In a thread: what Podman leaves behind a detached container keeps uvloop's pipes open.
            done = await asyncio.to_thread(
                subprocess.run,
                [engine, *args],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=COMMAND_S,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise _refused(engine, args, "it does not answer") from error
        if done.returncode:
            raise _refused(engine, args, done.stderr.strip())
        return done.stdout


def _open_files() -> int:
    """No more than we may have ourselves: an engine without privileges can give no more."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)


def _name(attempt: str, role: str) -> str:
    return f"{_PREFIX}{attempt}-{role}"


def _refused(engine: str, args: Sequence[str], reason: str) -> InfrastructureFault:
    return InfrastructureFault(f"{engine} {args[0]} failed: {reason[-500:]}", code="engine_refused")
