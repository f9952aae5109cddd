"""One build, whole: the five steps in order, with their events; what it raises is the build's end."""

import asyncio
import contextlib
import importlib
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from scalemesh.buildserver import environment
from scalemesh.buildserver.caches import Caches
from scalemesh.buildserver.control.base import REFUSED, Control
from scalemesh.buildserver.execution import Executor
from scalemesh.buildserver.retry import retrying
from scalemesh.buildserver.runner import Runner
from scalemesh.buildserver.shipper import Shipper
from scalemesh.buildserver.steps import ignore, publish
from scalemesh.buildserver.steps import plan as detection
from scalemesh.buildserver.steps.clone import Clone, Commit
from scalemesh.buildserver.steps.commands import Commands
from scalemesh.buildserver.steps.unpack import unpack
from scalemesh.buildserver.toolchains import Toolchains
from scalemesh.core.build import (
    BuildIgnored,
    BuildSpec,
    Claim,
    GitSource,
    Plan,
    PlanMade,
    SourceResolved,
    Step,
    StepFinished,
    StepStarted,
)
from scalemesh.core.clock import now_ms
from scalemesh.core.manifest import Manifest
from scalemesh.egress.guard import Guard
from scalemesh.errors import BuildFailed, InvalidInput, TooLarge

if TYPE_CHECKING:  # loaded late: see control.base
    from scalemesh.artifacts.pack import Packed

FLUSH_S = 3600.0  # the agent ends sooner, when its lease does


class Build:
    """`run` once. Raises BuildFailed, InfrastructureFault, or one of control.base.REFUSED.

    `caches`: folders of earlier builds; None where builds share no disk, and caches lie in the artifact store.
    """

    def __init__(
        self,
        claim: Claim,
        control: Control,
        executor: Executor,
        shipper: Shipper,
        toolchains: Toolchains,
        caches: Sequence[Path] | None = (),
    ) -> None:
        self._claim = claim
        self._spec = claim.spec
        self._control = control
        self._executor = executor
        self._shipper = shipper
        self._toolchains = toolchains
        self._workspace = executor.runner.workspace
        self._spool = executor.runner.directory / "spool"
        self._caches = _caches(claim.spec, control, executor.runner, shipper, caches)

    async def run(self) -> None:
        compressors = asyncio.create_task(asyncio.to_thread(importlib.import_module, "scalemesh.artifacts.pack"))
        async with self._step("clone"):
            clone, commit = await self._fetch()
        async with self._step("detect"):
            plan, commands = await self._plan(commit)
            is_ignored = clone is not None and await self._is_ignored(plan, clone, commands)
            if not is_ignored:
                await self._prepare(plan, commands)
        if is_ignored:
            await self._ignore(compressors)
            return
        await self._install(commands, plan.install_command)
        await self._build(commands, plan.build_command)
        await compressors  # imported meanwhile
        async with self._step("upload"):
            packed = await self._upload(plan)
        with packed:
            await self._publish(packed.manifest)

    async def _fetch(self) -> tuple[Clone | None, Commit | None]:
        source = self._spec.source
        if not isinstance(source, GitSource):
            await self._shipper.line("Unpacking the uploaded files", step="clone")
            spool = self._executor.runner.directory / "source.tar"
            await unpack(self._control.source(), spool, self._workspace, self._spec.limits)
            return None, None
        branch = f"{source.ref}, " if source.ref else ""
        await self._shipper.line(f"Cloning {source.url} ({branch}commit {source.commit[:12]})", step="clone")
        clone = Clone(self._executor, self._shipper, self._spec, source, self._claim.credentials)
        sha, tree, author, message = commit = await clone.run()
        self._shipper.event(
            lambda n: SourceResolved(n=n, commit=sha, tree=tree, author=author[:256], message=message[:4096])
        )
        return clone, commit

    async def _plan(self, commit: Commit | None) -> tuple[Plan, Commands]:
        plan = await detection.make(self._workspace, self._spec)
        self._shipper.event(lambda n: PlanMade(n=n, plan=plan))
        await self._shipper.line(detection.describe(plan), step="detect")
        env = environment.of_build(self._claim, commit, plan.environment, plan.framework)
        return plan, Commands(self._executor, plan, env, Guard(self._spec.egress_allow))

    async def _is_ignored(self, plan: Plan, clone: Clone, commands: Commands) -> bool:
        if not plan.ignore_command or not self._spec.ignorable:
            return False
        await commands.prepare(self._toolchains, self._shipper)
        return await ignore.is_ignored(plan.ignore_command, clone, commands, self._shipper)

    async def _ignore(self, compressors: asyncio.Task[object]) -> None:
        await compressors
        message = "The project's ignore command ended with 0: no build of this commit."
        self._shipper.event(lambda n: BuildIgnored(n=n, message=message))
        await self._shipper.flush(FLUSH_S)

    async def _prepare(self, plan: Plan, commands: Commands) -> None:
        if plan.install_command or plan.build_command:
            variables = {**plan.environment, **self._claim.env}
            await self._caches.plan(plan, variables, await commands.prepare(self._toolchains, self._shipper))

    async def _install(self, commands: Commands, command: str | None) -> None:
        if not command:
            return
        async with self._step("install"):
            if not await self._caches.before_install():
                await commands.run("install", command)
            else:
                await self._shipper.line(f"The lockfile has not changed: no {command}", step="install")

    async def _build(self, commands: Commands, command: str | None) -> None:
        if not command:
            return
        async with self._step("build"):
            await self._caches.before_build()
            await commands.run("build", command)

    async def _upload(self, plan: Plan) -> "Packed":
        """The output, and beside it the caches."""
        leaving = asyncio.create_task(self._caches.leave())
        try:
            packed = await publish.upload(self._control, self._shipper, self._workspace, self._spool, plan, self._spec)
            await leaving
        finally:
            leaving.cancel()
        return packed

    async def _publish(self, manifest: Manifest) -> None:
        """The log goes first: after the manifest this attempt may write no more."""
        await self._shipper.flush(FLUSH_S)
        try:
            await retrying(partial(self._control.manifest, manifest))
        except (InvalidInput, TooLarge) as error:
            raise BuildFailed(error.message, code=error.code, hint=error.hint) from error

    @contextlib.asynccontextmanager
    async def _step(self, step: Step) -> AsyncIterator[None]:
        self._shipper.event(lambda n: StepStarted(n=n, step=step, at=now_ms()))
        exit_code, detail = 0, ""
        try:
            yield
        except REFUSED:
            raise
        except Exception as error:
            exit_code, detail = 1, self._shipper.redacted(str(error))[:500]
            raise
        finally:
            self._shipper.event(lambda n: StepFinished(n=n, step=step, at=now_ms(), exit_code=exit_code, detail=detail))


def _caches(
    spec: BuildSpec, control: Control, runner: Runner, shipper: Shipper, folders: Sequence[Path] | None
) -> Caches:
    if folders is not None:
        return Caches(folders if spec.cache else (), runner, shipper)
    from scalemesh.buildserver.archives import Archives

    return Caches((), runner, shipper, Archives(control, runner.directory, spec.limits, readable=spec.cache))
