"""Steps in a container beside this one: a pod's or a task's, with the same folder and no process in common."""

import asyncio
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

from scalemesh.core.build import Limits
from scalemesh.egress import channel
from scalemesh.egress.proxy import Proxy
from scalemesh.errors import InfrastructureFault
from scalemesh.sandbox.conversation import Conversation, exit_code
from scalemesh.sandbox.step import Reason, StepCommand

CONNECT_S = 300.0  # the other container's image may still be on its way
DEATH_S = 20.0
_RETRY_S = 0.1


class RemoteRunner:
    """Speaks with `scalemesh.sandbox.inside.container` over a unix socket in the folder that both see.

    The container is the isolation: its user and its limits are what whoever started it gave it, and a step's `mounts`
    have no say here. With `on_notice` it has no network of its own, and reaches by name what the step's guard allows,
    through this process; without, its network is the container's. It runs the steps of one session and ends with it.
    """

    def __init__(self, path: Path, limits: Limits, on_notice: Callable[[str], None] | None = None) -> None:
        self._path = path
        self._limits = limits
        self._on_notice = on_notice
        self._talk: Conversation | None = None
        self._proxy: Proxy | None = None
        self.hit: Reason | None = None

    @property
    def pid(self) -> int | None:
        return None

    async def open(self) -> None:
        deadline = time.monotonic() + CONNECT_S
        while True:
            control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            try:
                control.connect(str(self._path))
            except OSError as error:
                control.close()
                if time.monotonic() > deadline:
                    raise InfrastructureFault(f"No runner at {self._path}: {error}.", code="no_sandbox") from error
                await asyncio.sleep(_RETRY_S)
            else:
                self._talk = Conversation(control)
                break
        if self._on_notice:
            egress, theirs = channel.pair()
            with theirs:
                self._talk.say({"command": "egress"}, (theirs.fileno(),))
            self._proxy = await Proxy(egress, self._on_notice).__aenter__()

    async def overlay(self, lower: Path, upper: Path, work: Path) -> bool:
        return False

    async def start(self, step: StepCommand, stdout: int, stderr: int) -> None:
        spec = {
            "argv": step.argv,
            "env": dict(step.env),
            "cwd": step.cwd,
            "rlimits": {"RLIMIT_NOFILE": self._limits.open_files},
            "ports": step.egress.ports if step.egress else (),
        }
        if self._proxy:
            self._proxy.guard = step.egress
        request = channel.memfd("step", json.dumps(spec).encode())
        try:
            self._conversation().say({"command": "run"}, (request, stdout, stderr))
        except OSError as error:
            raise InfrastructureFault(f"The runner is gone: {error}", code="sandbox_died") from error
        finally:
            os.close(request)

    def kill(self) -> None:
        if self._talk is not None:
            try:
                self._talk.say({"command": "kill"})
            except OSError:
                return  # it is dead, and all of its processes with it: `wait` will hear so

    async def wait(self) -> int:
        event = await self._conversation().hear(None)
        if self._proxy:
            self._proxy.guard = None
            await self._proxy.disconnect()
        self.hit = event.get("hit")
        return exit_code(event)

    async def close(self) -> None:
        """Returns when the runner has said that nothing of the build lives, or is dead itself."""
        if self._talk is None:
            return
        try:
            self._talk.say({"command": "end"})
            async with asyncio.timeout(DEATH_S):
                while (await self._talk.hear(None))["event"] not in {"ended", "died"}:
                    continue
        except (OSError, TimeoutError):
            return  # what is left of it ends with the container
        finally:
            self._talk.close()
            self._talk = None
            if self._proxy:
                await self._proxy.__aexit__()

    def path(self, target: str, source: str) -> str:
        return source

    def _conversation(self) -> Conversation:
        if self._talk is None:
            raise InfrastructureFault("The sandbox is closed.", code="sandbox_died")
        return self._talk
