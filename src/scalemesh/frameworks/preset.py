"""What a preset is: how it is recognised, what it runs, where its output lies."""

from collections.abc import Callable
from dataclasses import dataclass

from scalemesh.frameworks.files import Files, Package

OutputOf = Callable[[Files, Package], str | None]


@dataclass(frozen=True)
class Dep:
    """A dependency or development dependency of package.json."""

    name: str

    def matches(self, files: Files, package: Package) -> bool:
        return self.name in package.dependencies


@dataclass(frozen=True)
class Path:
    """A file, and what it must contain (a regex; comment lines do not count)."""

    path: str
    contains: str | None = None

    def matches(self, files: Files, package: Package) -> bool:
        return self.path in files if self.contains is None else files.contains(self.path, self.contains)


@dataclass(frozen=True)
class Script:
    """A script of package.json whose command contains this (a regex)."""

    contains: str
    name: str = "build"

    def matches(self, files: Files, package: Package) -> bool:
        return package.script_contains(self.name, self.contains)


Detector = Dep | Path | Script


def paths(stem: str, extensions: str = "js mjs cjs ts mts", contains: str | None = None) -> tuple[Path, ...]:
    """`paths("vite.config")`: the same file under each extension."""
    return tuple(Path(f"{stem}.{extension}", contains) for extension in extensions.split())


@dataclass(frozen=True)
class Static:
    """Another way to build: how a framework that has a server does without one. Any of `when` says that it applies.

    `script` is one of package.json to run instead of `build`.
    """

    when: tuple[Detector, ...]
    output: str | OutputOf
    build: str | None = None
    script: str | None = None


@dataclass(frozen=True, kw_only=True)
class Preset:
    """`every` and `some` recognise it. `slug` is Vercel's where Vercel has one, else Netlify's.

    `server`: it needs a server unless one of `static` applies; `dynamic`: it needs one if any of these applies;
    `remedy` are the lines to change. `weak`: any page or build script is better evidence. `missing` names a toolchain
    that the platform does not have. `python` is the requirement that brings a generator written in Python.
    """

    slug: str
    name: str
    every: tuple[Detector, ...] = ()
    some: tuple[Detector, ...] = ()
    build: str | None = None
    output: str | OutputOf = "."
    supersedes: tuple[str, ...] = ()
    immutable: tuple[str, ...] = ()
    toolchains: tuple[str, ...] = ()
    static: tuple[Static, ...] = ()
    server: bool = False
    dynamic: tuple[Detector, ...] = ()
    weak: bool = False
    remedy: str = ""
    missing: str = ""
    python: str = ""

    def matches(self, files: Files, package: Package) -> bool:
        return all(d.matches(files, package) for d in self.every) and (
            not self.some or any(d.matches(files, package) for d in self.some)
        )
