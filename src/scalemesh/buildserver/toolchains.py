"""Toolchains for a build: asked for at the platform's store, which installs them; no build can write there.

One JSON line each way over a unix socket that no step can see: `{"name", "version"}` → `{"path", "version"}` or
`{"code", "message"}`. `path` is null where the machine's own program in /usr does.
"""

import asyncio
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from scalemesh.core.build import Plan
from scalemesh.errors import BuildFailed, InfrastructureFault

SOCKET = "toolchains.sock"
TIMEOUT_S = 300.0
_RETRY_S = 0.5
_MANAGERS = frozenset({"pnpm", "yarn", "bun", "deno"})


@dataclass(frozen=True)
class Toolchain:
    """`bin` is a folder on the host for PATH; None for what is in /usr anyway."""

    name: str
    version: str
    bin: Path | None


class Toolchains(Protocol):
    async def ensure(self, name: str, version: str | None) -> Toolchain:
        """Installed when this returns. Raises BuildFailed for a version that cannot be had, InfrastructureFault."""


class BrokeredToolchains:
    """Over the socket; waits for a platform that is being restarted."""

    def __init__(self, broker: Path) -> None:
        self._broker = broker

    async def ensure(self, name: str, version: str | None) -> Toolchain:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await self._ask({"name": name, "version": version})
        except TimeoutError as error:
            raise InfrastructureFault(f"No {name} within {TIMEOUT_S:.0f} s.", code="toolchain_unavailable") from error
        if "code" in answer:
            kind = InfrastructureFault if answer["code"] == "toolchain_unavailable" else BuildFailed
            raise kind(answer["message"], code=answer["code"])
        path = answer["path"]
        return Toolchain(name, answer["version"], Path(path) / "bin" if path else None)

    async def _ask(self, question: dict[str, str | None]) -> dict[str, str]:
        while True:
            try:
                return await self._once(json.dumps(question).encode() + b"\n")
            except (OSError, ValueError):  # no platform at the other end, or one that died: it comes back
                await asyncio.sleep(_RETRY_S)

    async def _once(self, question: bytes) -> dict[str, str]:
        # By descriptor: the path of a data folder may be longer than a socket's address can be.
        folder = os.open(self._broker, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            reader, writer = await asyncio.open_unix_connection(f"/proc/self/fd/{folder}/{SOCKET}")
        finally:
            os.close(folder)
        try:
            writer.write(question)
            answer: dict[str, str] = json.loads(await reader.readline())
            return answer
        finally:
            writer.close()


def needed(plan: Plan) -> dict[str, str | None]:
    """Name → version wanted (an exact one, a range, or None for any) of everything that the plan needs."""
    wanted: dict[str, str | None] = {}
    for entry in plan.toolchains:
        name, _, version = entry.partition("@")
        wanted[name] = version or None
    if plan.node_version:
        # Nobody asked for the default: then the machine's own Node is as good.
        wanted["node"] = None if plan.sources.get("node_version") == "default" else plan.node_version
    if plan.package_manager in _MANAGERS:
        wanted[plan.package_manager] = plan.package_manager_version
    return wanted
