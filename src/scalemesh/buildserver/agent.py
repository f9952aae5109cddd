"""The agent's life: claim, keep the lease, build, report; and an end in every case.

It stops at once, without a word, when the API refuses it, asks it to (cancel), or has been silent for SILENT_LEASES
leases: somebody else may have the deployment by then.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Coroutine, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any

from scalemesh.buildserver import failures
from scalemesh.buildserver.build import Build
from scalemesh.buildserver.control.base import REFUSED, Control
from scalemesh.buildserver.execution import Executor
from scalemesh.buildserver.redaction import Redactor
from scalemesh.buildserver.retry import DELAYS_S, retrying
from scalemesh.buildserver.runner import Runner
from scalemesh.buildserver.shipper import Shipper
from scalemesh.buildserver.toolchains import Toolchains
from scalemesh.core.build import BuildErrored, Claim
from scalemesh.errors import BuildFailed, InfrastructureFault, TooManyRequests, Unavailable

SILENT_LEASES = 6
CLAIM_TIMEOUT_S = 60.0
log = logging.getLogger(__name__)


class Exit(IntEnum):
    """The agent's exit codes; the platform reads none of them, people do."""

    DONE = 0  # ready, or failed and reported
    CANCELED = 3
    REFUSED = 4
    SILENCE = 5


class Agent:
    """Runs one attempt: `claim`, then `run`. `caches`: as a Build's."""

    def __init__(self, control: Control, toolchains: Toolchains, caches: Sequence[Path] | None = ()) -> None:
        self._control = control
        self._caches = caches
        self._toolchains = toolchains
        self._executor: Executor | None = None

    def notice(self, line: str) -> None:
        """For the session: a line for the build's log."""
        if self._executor is not None:
            self._executor.notice(line)

    async def claim(self) -> Claim:
        """Raises one of REFUSED, or TimeoutError when there is no API."""
        nonce = secrets.token_hex(16)
        async with asyncio.timeout(CLAIM_TIMEOUT_S):
            return await retrying(lambda: self._control.claim(nonce))

    async def run(self, claim: Claim, opening: Awaitable[Runner]) -> Exit:
        """Until everything is reported, or there is nobody to report to. `opening` may raise InfrastructureFault."""
        secret_values = [claim.env[name] for name in claim.secret_names if name in claim.env]
        redactor = Redactor([*secret_values, *_credentials(claim)])
        shipper = Shipper(self._control, claim, redactor)
        lease = Lease(self._control, claim.lease_s, shipper)
        return await _first_to_end(
            self._reported(claim, opening, shipper, redactor),
            _refusable(shipper.run()),
            _refusable(lease.keep()),
            _canceled(shipper),
        )

    async def _reported(self, claim: Claim, opening: Awaitable[Runner], shipper: Shipper, redactor: Redactor) -> Exit:
        """Every failure becomes one BuildErrored, also a mistake of ours: another attempt may do better."""
        try:
            self._executor = Executor(await opening, shipper, redactor, claim.spec.limits)
            await Build(claim, self._control, self._executor, shipper, self._toolchains, self._caches).run()
        except REFUSED as error:
            return _refused(error)
        except BuildFailed as error:
            await _report(shipper, error.code, failures.sentence(error), infrastructure=False)
        except InfrastructureFault as error:
            await _report(shipper, error.code, failures.sentence(error), infrastructure=True)
        except Exception as error:
            log.exception("agent failed")
            await _report(shipper, "agent_failed", f"The build server failed: {error!r}", infrastructure=True)
        return Exit.DONE


class Lease:
    """Heartbeats, three per lease."""

    def __init__(self, control: Control, lease_s: int, shipper: Shipper) -> None:
        self._control = control
        self._lease_s = lease_s
        self._shipper = shipper

    async def keep(self) -> Exit:
        """Returns when the API has been silent for too long. Raises one of REFUSED."""
        failed = 0
        while time.monotonic() - self._shipper.heard_at < SILENT_LEASES * self._lease_s:
            await asyncio.sleep(DELAYS_S[min(failed, len(DELAYS_S)) - 1] if failed else self._lease_s / 3)
            try:
                answer = await self._control.heartbeat()
            except (Unavailable, TooManyRequests):
                failed += 1
                continue
            failed = 0
            self._lease_s = answer.lease_s
            self._shipper.heard_at = time.monotonic()
            if answer.cancel:
                self._shipper.canceled.set()
        return Exit.SILENCE


async def _first_to_end(*lives: Coroutine[Any, Any, Exit]) -> Exit:
    """The first one's answer; the others are cancelled, and their steps killed, before this returns."""
    tasks = [asyncio.create_task(life) for life in lives]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return next(task.result() for task in tasks if task in done)


async def _report(shipper: Shipper, code: str, message: str, *, infrastructure: bool) -> None:
    message = shipper.redacted(message)  # it may quote the name of a file
    shipper.event(lambda n: BuildErrored(n=n, code=code, message=message, infrastructure=infrastructure))
    await shipper.flush(deadline_s=3600.0)


async def _refusable(life: Coroutine[Any, Any, Exit | None]) -> Exit:
    try:
        return await life or Exit.DONE
    except (*REFUSED, InfrastructureFault) as error:
        return _refused(error)


async def _canceled(shipper: Shipper) -> Exit:
    await shipper.canceled.wait()
    return Exit.CANCELED


def _refused(error: Exception) -> Exit:
    log.warning("the API refuses this attempt: %s", error)
    return Exit.REFUSED


def _credentials(claim: Claim) -> list[str]:
    given = claim.credentials
    return [secret for secret in (given.password, given.deploy_key) if secret]
