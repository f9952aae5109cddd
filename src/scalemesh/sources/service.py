"""Asking repositories, from the platform's side: one worker process per question, gone when it is answered."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NoReturn

from scalemesh.core.build import BuildSettings, Credentials, Limits
from scalemesh.core.documents import decode, encode
from scalemesh.core.git_url import GitUrl
from scalemesh.core.ids import new_id
from scalemesh.errors import InvalidInput, Unavailable
from scalemesh.sandbox import folders
from scalemesh.sandbox.launcher import Launcher
from scalemesh.sources.documents import Answer, Ask, Peek, Resolved

DEADLINE_S = 20.0
AT_ONCE = 4
_GRACE_S = 2.0
_MAX_ANSWER_BYTES = 16 * 1024**2
_LIMITS = Limits(memory_bytes=1024**3, processes=256, disk_bytes=512 * 1024**2)


@dataclass(frozen=True)
class SourceSettings:
    """`directory` is where workers get their folders; `readable` what they must reach (local repositories)."""

    directory: Path
    transports: tuple[str, ...] = ("https", "ssh")
    allow_private: bool = False
    egress_allow: tuple[str, ...] = ()
    sandbox: Literal["bubblewrap", "none"] = "bubblewrap"
    uids: range = range(200_000, 201_000)
    environ: Mapping[str, str] = field(default_factory=dict)
    readable: tuple[Path, ...] = ()


class Sources:
    """Several questions at once; each ends within DEADLINE_S (and a grace of 2 s)."""

    def __init__(self, settings: SourceSettings) -> None:
        self._settings = settings
        self._launcher = Launcher(settings.readable)
        self._gate = asyncio.Semaphore(AT_ONCE)

    def check_url(self, url: str) -> str:
        """The address as it is kept. Raises InvalidInput; nothing is asked yet."""
        return self._parse(url).text

    async def resolve(self, url: str, ref: str | None, credentials: Credentials | None = None) -> Resolved:
        """The commit that a branch, tag or commit stands for; None is the default branch. Raises InvalidInput."""
        answer = await self._ask(self._question(url, ref, credentials))
        return answer.resolved or _broken()

    async def peek(
        self,
        url: str,
        ref: str | None = None,
        settings: BuildSettings | None = None,
        credentials: Credentials | None = None,
    ) -> Peek:
        """What lies there and how it would be built with these settings. Raises InvalidInput."""
        question = self._question(url, ref, credentials, settings or BuildSettings())
        return (await self._ask(question)).peek or _broken()

    def _parse(self, url: str) -> GitUrl:
        return GitUrl.parse(url, self._settings.transports, allow_private=self._settings.allow_private)

    def _question(
        self, url: str, ref: str | None, credentials: Credentials | None, settings: BuildSettings | None = None
    ) -> Ask:
        own = self._settings
        return Ask(
            url=self._parse(url).text,
            transports=list(own.transports),
            allow_private=own.allow_private,
            directory=str(own.directory / new_id("git")),
            sandbox=own.sandbox,
            limits=_LIMITS,
            deadline_s=DEADLINE_S,
            ref=ref,
            settings=settings,
            credentials=credentials or Credentials(),
            egress_allow=list(own.egress_allow),
        )

    async def _ask(self, question: Ask) -> Answer:
        """Raises InvalidInput as the worker does, Unavailable when there is no answer in time."""
        async with self._gate:
            answer = await _Worker(self._launcher, self._settings, question).run()
        if answer.refusal is not None:
            refusal = answer.refusal
            raise InvalidInput(refusal.message, code=refusal.code, hint=refusal.hint, field=refusal.field)
        return answer


class _Worker:
    """One process (main/git.py), its folder and its uid, from start to nothing left."""

    def __init__(self, launcher: Launcher, settings: SourceSettings, question: Ask) -> None:
        self._launcher = launcher
        self._settings = settings
        self._question = question
        self._folder = Path(question.directory)

    async def run(self) -> Answer:
        process = await asyncio.to_thread(self._start)
        try:
            async with asyncio.timeout(DEADLINE_S + _GRACE_S):
                out = await asyncio.to_thread(_read, process)
        except TimeoutError as error:
            raise Unavailable("git did not answer in time.", code="git_timeout", hint="Try again.") from error
        finally:
            await asyncio.shield(asyncio.to_thread(self._end, process))
        if not out:
            raise Unavailable("The git worker died.", code="git_worker_died", hint="Try again; the log says more.")
        return decode(Answer, out)

    def _start(self) -> "subprocess.Popen[bytes]":
        self._folder.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
        uid = folders.claim(self._folder, self._settings.uids)
        asked = os.memfd_create("ask")  # not an argument: credentials are in it
        try:
            os.write(asked, encode(self._question))
            os.lseek(asked, 0, os.SEEK_SET)
            return self._launcher.spawn(
                (sys.executable, "-I", "-m", "scalemesh.main.git", str(asked)),
                uid=uid,
                cwd=self._folder,
                env=self._settings.environ,
                expose=(self._folder,),
                pass_fds=(asked,),
                stdout=subprocess.PIPE,
            )
        except BaseException:
            folders.remove(self._folder)
            raise
        finally:
            os.close(asked)

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        """The worker's death ends everything that it had run."""
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)
        if process.stdout:
            process.stdout.close()
        folders.remove(self._folder)


def _read(process: "subprocess.Popen[bytes]") -> bytes:
    return process.stdout.read(_MAX_ANSWER_BYTES) if process.stdout else b""


def _broken() -> NoReturn:
    raise Unavailable("The git worker answered something else.", code="git_worker_died")
