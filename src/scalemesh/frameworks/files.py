"""The repository as detection sees it: a listing, and a way to read a few small files."""

import json
import posixpath
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from scalemesh.errors import BuildFailed

Read = Callable[[str], bytes | None]
MAX_READ_BYTES = 1024 * 1024
_COMMENT = re.compile(r"^[ \t]*(//|#|\*|/\*).*$", re.MULTILINE)


@dataclass(frozen=True)
class Files:
    """Everything below `base` ("" is the repository itself). Paths are relative to it."""

    listing: Collection[str]
    read_bytes: Read
    base: str = ""

    def __contains__(self, path: str) -> bool:
        return self._full(path) in self._paths

    def __iter__(self) -> Iterator[str]:
        prefix = f"{self.base}/" if self.base else ""
        return (path.removeprefix(prefix) for path in self._paths if path.startswith(prefix))

    def has_directory(self, path: str) -> bool:
        """Whether any file lies under `path`."""
        prefix = self._full(path) + "/"
        return any(other.startswith(prefix) for other in self._paths)

    def text(self, path: str) -> str | None:
        """Its content; None where there is no such file (or it is a link, which is not followed)."""
        if path not in self:
            return None
        data = self.read_bytes(self._full(path))
        return None if data is None else data[:MAX_READ_BYTES].decode("utf-8-sig", errors="replace")

    def contains(self, path: str, pattern: str) -> bool:
        text = self.text(path)
        return text is not None and re.search(pattern, _COMMENT.sub("", text)) is not None

    def find(self, path: str, pattern: str) -> str | None:
        """The first group of the first match outside comment lines."""
        text = self.text(path)
        match = re.search(pattern, _COMMENT.sub("", text), re.MULTILINE) if text is not None else None
        return match[1] if match else None

    def find_in(self, names: Collection[str], pattern: str) -> str | None:
        return next((found for name in names if (found := self.find(name, pattern))), None)

    def first(self, names: Collection[str]) -> str | None:
        """The first of `names` that exists."""
        return next((name for name in names if name in self), None)

    def at(self, directory: str) -> "Files":
        """The same repository, seen from `directory` (relative to the repository)."""
        moved = Files(self.listing, self.read_bytes, directory)
        moved.__dict__["_paths"] = self._paths
        return moved

    def shown(self, path: str) -> str:
        """`path` as somebody who looks at the repository knows it."""
        return self._full(path)

    def _full(self, path: str) -> str:
        return posixpath.normpath(f"{self.base}/{path}" if self.base else path)

    @cached_property
    def _paths(self) -> frozenset[str]:
        return frozenset(self.listing)


@dataclass(frozen=True)
class Package:
    """The parts of package.json that count. `exists` False: there is none."""

    exists: bool = False
    dependencies: dict[str, str] = field(default_factory=dict)
    scripts: dict[str, str] = field(default_factory=dict)
    raw: dict[str, Any] = field(default_factory=dict)

    def script_contains(self, name: str, pattern: str) -> bool:
        return re.search(pattern, self.scripts.get(name, "")) is not None


def read_package(files: Files) -> Package:
    """Raises BuildFailed (`invalid_package_json`) with file and line."""
    raw = read_json(files, "package.json")
    if raw is None:
        return Package()
    dependencies = {**_strings(raw.get("devDependencies")), **_strings(raw.get("dependencies"))}
    return Package(True, dependencies, _strings(raw.get("scripts")), raw)


def read_json(files: Files, path: str) -> dict[str, Any] | None:
    """An object, None where the file does not exist; raises BuildFailed with the file, line and column."""
    text = files.text(path)
    if text is None:
        return None
    try:
        raw = json.loads(text)
    except json.JSONDecodeError as error:
        raise _bad(path, f"{files.shown(path)}:{error.lineno}", f"column {error.colno}: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise _bad(path, f"{files.shown(path)}:1", "nested too deeply, or a number too long") from error
    if not isinstance(raw, dict):
        raise _bad(path, f"{files.shown(path)}:1", "expected an object")
    return raw


def _bad(path: str, place: str, why: str) -> BuildFailed:
    code = "invalid_" + path.replace(".", "_")
    return BuildFailed(f"{place} is not valid JSON: {why}.", code=code, hint="Correct it and push.", field=place)


def _strings(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {key: item for key, item in value.items() if isinstance(item, str)}
