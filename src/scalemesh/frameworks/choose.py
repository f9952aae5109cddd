"""Which preset a project is, and whether it can be served as files."""

import difflib
from dataclasses import dataclass

from scalemesh.errors import BuildFailed
from scalemesh.frameworks.files import Files, Package
from scalemesh.frameworks.overrides import OTHER, Overrides
from scalemesh.frameworks.preset import Preset, Static
from scalemesh.frameworks.presets import BY_SLUG, PRESETS
from scalemesh.frameworks.presets_server import BACKENDS

BUILD_SCRIPTS = ("vercel-build", "now-build", "build")
_NONE = frozenset({OTHER, "static", "null", ""})


class FrameworkRefused(BuildFailed):
    """Recognised, and not to be built here; `framework` is its slug."""

    def __init__(self, preset: Preset, message: str, *, code: str, hint: str | None) -> None:
        super().__init__(message, code=code, hint=hint)
        self.framework = preset.slug


@dataclass(frozen=True)
class Choice:
    """`preset` None: no framework. `static`: how a framework with a server is built without it."""

    preset: Preset | None
    source: str
    static: Static | None = None


def choose(files: Files, package: Package, overrides: Overrides) -> Choice:
    """Raises BuildFailed (unknown_framework), FrameworkRefused (server_framework, toolchain_missing)."""
    chosen = overrides.get("framework")
    preset = _by_slug(*chosen) if chosen else _recognise(files, package)
    source = chosen[1] if chosen else "default"
    if preset is None:
        return Choice(None, source)
    static = next((way for way in preset.static if any(d.matches(files, package) for d in way.when)), None)
    if overrides.get("output_directory") is None:  # an owner who names the output knows what the build writes
        _refuse_server(preset, static, files, package)
    _refuse_missing(preset, overrides)
    return Choice(preset, source if chosen else _evidence(preset, files, package), static)


def has_build_script(package: Package) -> bool:
    return any(name in package.scripts for name in BUILD_SCRIPTS)


def _recognise(files: Files, package: Package) -> Preset | None:
    """The first match that no other match supersedes."""
    found = [preset for preset in PRESETS if preset.matches(files, package)]
    if "index.html" in files or has_build_script(package):
        found = [preset for preset in found if not preset.weak]
    if "index.html" in files:
        found = [preset for preset in found if preset not in BACKENDS]
    superseded: set[str] = set()
    for preset in found:
        if preset.slug not in superseded:
            superseded.update(preset.supersedes)
    return next((preset for preset in found if preset.slug not in superseded), None)


def _by_slug(slug: str, source: str) -> Preset | None:
    if slug in _NONE:
        return None
    if preset := BY_SLUG.get(slug):
        return preset
    near = difflib.get_close_matches(slug, BY_SLUG, n=3)
    raise BuildFailed(
        f"{source} names the framework {slug!r}, which is none that is known.",
        code="unknown_framework",
        hint=f"Did you mean {' or '.join(near)}?" if near else f"For none, write {OTHER!r}.",
        field=source,
    )


def _refuse_server(preset: Preset, static: Static | None, files: Files, package: Package) -> None:
    needs = (preset.server and static is None) or any(d.matches(files, package) for d in preset.dynamic)
    if needs:
        raise FrameworkRefused(
            preset,
            f"This project uses {preset.name} in a way that needs a server; Scale Mesh serves static sites.",
            code="server_framework",
            hint=preset.remedy,
        )


def _refuse_missing(preset: Preset, overrides: Overrides) -> None:
    if preset.missing and overrides.get("build_command") is None:
        raise FrameworkRefused(
            preset,
            f"{preset.name} sites are built with {preset.missing}, which is not available here.",
            code="toolchain_missing",
            hint="Set a build command that brings what it needs, or build elsewhere and deploy the output folder: "
            "`scalemesh deploy DIR`. For a site that needs no build, set the framework to `other`.",
        )


def _evidence(preset: Preset, files: Files, package: Package) -> str:
    """The file that gave it away."""
    detectors = (*preset.every, *preset.some)
    path = next((d.path for d in detectors if hasattr(d, "path") and d.matches(files, package)), "package.json")
    return files.shown(path)
