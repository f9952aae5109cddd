"""install and build: the plan's commands with its toolchains, on the guarded network."""

import os

from scalemesh.artifacts import beneath
from scalemesh.buildserver.dependencies import VENV
from scalemesh.buildserver.execution import Executor
from scalemesh.buildserver.shipper import Shipper
from scalemesh.buildserver.toolchains import Toolchain, Toolchains, needed
from scalemesh.core.build import Plan, Step
from scalemesh.egress.guard import Guard
from scalemesh.errors import BuildFailed
from scalemesh.frameworks.python import MANAGER

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Commands:
    """`prepare` once, then any number of `run` and `ask`."""

    def __init__(self, executor: Executor, plan: Plan, env: dict[str, str], guard: Guard) -> None:
        self._executor = executor
        self._plan = plan
        self._env = env
        self._guard = guard
        self._root = executor.runner.workspace / plan.root_directory.strip("/")
        # Not among the project's files, where Sphinx would take the packages' texts for pages.
        self._venv = executor.runner.directory / VENV

    async def prepare(self, toolchains: Toolchains, shipper: Shipper) -> list[Toolchain]:
        """Toolchains in place and on PATH, before the machine's own programs and after the project's."""
        found = [await toolchains.ensure(name, version) for name, version in needed(self._plan).items()]
        if found:
            await shipper.line("Using " + ", ".join(f"{t.name} {t.version}" for t in found), step="detect")
        self._env = {**self._env, **self._python(), "PATH": self._path(found)}
        return found

    async def run(self, step: Step, command: str) -> None:
        """Raises BuildFailed."""
        await self._executor.shell(step, command, cwd=self._enter(), env=self._env, egress=self._guard)

    async def ask(self, step: Step, command: str, env: dict[str, str]) -> int:
        """Its exit code, which is an answer; with `env` in addition. Raises BuildFailed at a limit."""
        return await self._executor.answer(
            step, command, cwd=self._enter(), env={**env, **self._env}, egress=self._guard
        )

    def _enter(self) -> str:
        """Where commands run. An earlier one may have taken it away, which is no fault of the sandbox's."""
        try:
            folder = beneath.open_folder(self._executor.runner.workspace, self._plan.root_directory)
            try:
                os.stat(".", dir_fd=folder)  # needs what chdir needs
            finally:
                os.close(folder)
        except (BuildFailed, PermissionError) as error:
            raise BuildFailed(
                f"The root directory {self._plan.root_directory or '.'!r} cannot be entered any more.",
                code="root_directory_not_found",
                hint="An earlier command has removed, replaced or closed it.",
            ) from error
        return self._executor.runner.view(self._root)

    def _python(self) -> dict[str, str]:
        if MANAGER not in self._plan.toolchains:
            return {}
        venv = self._executor.runner.view(self._venv)
        return {"VIRTUAL_ENV": venv, "UV_PROJECT_ENVIRONMENT": venv, "UV_PYTHON_DOWNLOADS": "never"}

    def _path(self, toolchains: list[Toolchain]) -> str:
        workspace = self._executor.runner.workspace
        above = [self._root, *self._root.parents]
        folders = [f / "node_modules/.bin" for f in above[: above.index(workspace) + 1]]
        folders += [self._venv / "bin"] if MANAGER in self._plan.toolchains else []
        folders += [t.bin for t in toolchains if t.bin]
        return ":".join([*(self._executor.runner.view(f) for f in folders), _SYSTEM_PATH])
