"""Repositories for acceptance tests, behind the real git server."""

from collections.abc import Mapping
from pathlib import Path

from scalemesh.testing.git_repository import BareRepository
from scalemesh.testing.git_server import GitServer


class Repositories(GitServer):
    """By name; `create` answers the URL, and starts over where the name is taken."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._made: dict[str, BareRepository] = {}

    def create(self, name: str, files: Mapping[str, str | bytes]) -> str:
        if name not in self._made:
            self._made[name] = self.repository(name, files or None)
        elif files:
            self._made[name].commit(files)
        return self._made[name].url

    def commit(self, name: str, files: Mapping[str, str | bytes], branch: str = "main") -> str:
        return self._made[name].commit(files, branch=branch)


def files_of(folder: Path) -> dict[str, bytes]:
    """A folder as `create` takes it."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "node_modules" not in path.parts
    }
