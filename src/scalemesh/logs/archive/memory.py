"""An archive that lives as long as its process: for tests and throw-away runs."""

from collections.abc import Sequence

from scalemesh.core.logs import LogLine
from scalemesh.logs.access.memory import MemoryAccess
from scalemesh.logs.archive.base import Archive
from scalemesh.logs.search import Search


class MemoryArchive(Archive):
    def __init__(self) -> None:
        self.access = MemoryAccess()
        self._lines: dict[str, dict[int, LogLine]] = {}

    async def append(self, lines: Sequence[LogLine]) -> None:
        for line in lines:
            self._lines.setdefault(line.deployment, {}).setdefault(line.seq, line)

    async def read(self, deployment: str, after: int = -1, limit: int = 1000) -> list[LogLine]:
        held = self._lines.get(deployment, {})
        return [held[seq] for seq in sorted(held) if seq > after][:limit]

    async def find(
        self, deployments: Sequence[str], search: Search, after: int = -1, limit: int = 100
    ) -> list[LogLine]:
        search.check()
        held = [self._lines.get(deployment, {}) for deployment in deployments]
        lines = [log[seq] for place, log in enumerate(held) for seq in sorted(log) if place or seq > after]
        return [line for line in lines if search.matches(line)][:limit]

    async def delete(self, deployment: str) -> None:
        self._lines.pop(deployment, None)
