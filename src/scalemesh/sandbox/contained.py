"""Steps in bubblewrap, inside namespaces that a program of ours holds as their process 1."""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from scalemesh.core.build import Limits
from scalemesh.egress import channel
from scalemesh.egress.proxy import Proxy
from scalemesh.errors import BuildFailed, InfrastructureFault
from scalemesh.sandbox import bubblewrap, etc, seccomp
from scalemesh.sandbox.conversation import Conversation, exit_code
from scalemesh.sandbox.step import Mount, Reason, StepCommand

START_TIMEOUT_S = 20.0
KILL_TIMEOUT_S = 5.0
_BOOT = "import sys; sys.path.insert(0, sys.argv.pop(1)); from scalemesh.sandbox.inside.program import main; main()"
_SOURCE_ROOT = Path(__file__).parents[2]


class ContainedRunner:
    """One set of namespaces per session, one bubblewrap per step."""

    def __init__(self, etc_directory: Path, limits: Limits, on_notice: Callable[[str], None]) -> None:
        self._etc = etc_directory
        self._limits = limits
        self._on_notice = on_notice
        self._process: asyncio.subprocess.Process | None = None
        self._talk: Conversation | None = None
        self._proxy: Proxy | None = None
        self._bwrap = ""
        self._last_resort: asyncio.TimerHandle | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def hit(self) -> Reason | None:
        return None  # the session's own control group says so

    async def open(self) -> None:
        if os.geteuid() == 0:
            raise InfrastructureFault("Builds never run as root: use Launcher.", code="no_sandbox")
        found = bubblewrap.find()
        if found is None:
            raise InfrastructureFault("bubblewrap is missing: run `scalemesh doctor`.", code="no_sandbox")
        self._bwrap = str(found.path)
        etc.write(self._etc, os.environ)
        control, theirs = channel.pair()
        egress, their_egress = channel.pair()
        with theirs, their_egress:
            self._talk = Conversation(control)
            self._proxy = await Proxy(egress, self._on_notice).__aenter__()
            await self._spawn(theirs.fileno(), their_egress.fileno())
        event = await self._talk.hear(START_TIMEOUT_S)
        if event["event"] != "ready":
            raise InfrastructureFault(
                f"The sandbox cannot be set up: {event.get('detail', 'its process died')}.",
                code="no_sandbox",
                hint="`scalemesh doctor` says what is missing.",
            )

    async def _spawn(self, control: int, egress: int) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-I", "-S", "-c", _BOOT, str(_SOURCE_ROOT), str(os.getpid()), str(control), str(egress)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            env={},
            cwd="/",
            pass_fds=(control, egress),
        )

    async def overlay(self, lower: Path, upper: Path, work: Path) -> bool:
        if self._talk is None:
            return False
        self._talk.say({"command": "overlay", "folders": [str(lower), str(upper), str(work)]})
        return bool((await self._talk.hear(START_TIMEOUT_S)).get("done"))

    async def start(self, step: StepCommand, stdout: int, stderr: int) -> None:
        proxy, talk = self._proxy, self._talk
        if proxy is None or talk is None:
            raise InfrastructureFault("The sandbox is closed.", code="sandbox_died")
        request = channel.memfd("step", self._request(step))
        proxy.guard = step.egress
        try:
            talk.say({"command": "run"}, (request, stdout, stderr))
        except OSError as error:
            raise InfrastructureFault(f"The sandbox is gone: {error}", code="sandbox_died") from error
        finally:
            os.close(request)

    def _request(self, step: StepCommand) -> bytes:
        mounts = [Mount(self._etc, "/etc"), *step.mounts]
        mounts += [Mount(path, str(path)) for path in etc.public_paths()]
        guard = step.egress
        options = bubblewrap.options(mounts=mounts, env=step.env, cwd=step.cwd, network=guard is not None)
        _check([*options, *step.argv])
        request = {
            "bwrap": self._bwrap,
            "ports": guard.ports if guard else (),
            "networks": guard.networks if guard else (),
            "options": options,
            "seccomp": (seccomp.program() or b"").hex(),
            "argv": list(step.argv),
            "rlimits": {"RLIMIT_NOFILE": self._limits.open_files, "RLIMIT_NPROC": self._limits.processes},
        }
        return json.dumps(request).encode()

    def kill(self) -> None:
        if self._talk is not None and (self._last_resort is None or self._last_resort.cancelled()):
            self._last_resort = asyncio.get_running_loop().call_later(KILL_TIMEOUT_S, self._kill_all)
            try:
                self._talk.say({"command": "kill"})
            except OSError:
                self._kill_all()  # the other end is gone or stuck

    def _kill_all(self) -> None:
        if self._process and self._process.returncode is None:
            self._process.kill()

    async def wait(self) -> int:
        if self._talk is None:
            raise InfrastructureFault("The sandbox is closed.", code="sandbox_died")
        event = await self._talk.hear(None)
        if self._last_resort:
            self._last_resort.cancel()
        if self._proxy:
            self._proxy.guard = None
            await self._proxy.disconnect()
        return exit_code(event)

    async def close(self) -> None:
        if self._last_resort:
            self._last_resort.cancel()
        if self._talk is not None:
            self._talk.close()
        if self._process is not None:
            self._kill_all()
            await self._process.wait()
        if self._proxy is not None:
            await self._proxy.__aexit__()

    def path(self, target: str, source: str) -> str:
        return target


def _check(words: Sequence[str]) -> None:
    """Bubblewrap splits its options at NUL: one in a value would make options of its own of what follows."""
    for word in words:
        try:
            bad = b"\0" in os.fsencode(word)
        except UnicodeEncodeError:
            bad = True
        if bad:
            raise BuildFailed(
                "A variable or a command holds a NUL byte or is not valid Unicode.",
                code="invalid_environment",
                hint="Correct the project's variables and commands.",
            )
