"""What the owner decided: project settings, then vercel.json, then netlify.toml."""

import tomllib
from dataclasses import dataclass, field
from typing import Any

from scalemesh.core.build import BuildSettings
from scalemesh.errors import BuildFailed
from scalemesh.frameworks.files import Files, read_json

SETTINGS = "project settings"
OTHER = "other"
_VERCEL = {
    "framework": "framework",
    "installCommand": "install_command",
    "buildCommand": "build_command",
    "outputDirectory": "output_directory",
}


@dataclass(frozen=True)
class Overrides:
    """Field → (value, where it came from). An empty command means that nothing is run."""

    values: dict[str, tuple[str, str]] = field(default_factory=dict)

    def get(self, name: str) -> tuple[str, str] | None:
        return self.values.get(name)


def read(files: Files, settings: BuildSettings) -> Overrides:
    """`files` at the project's root directory; vercel.json and netlify.toml may also lie at the repository's."""
    values = _vercel(files) | {}
    for name, found in _netlify(files).items():
        values.setdefault(name, found)
    values |= _settings(settings)
    return Overrides(values)


def netlify_base(files: Files) -> str:
    """`[build] base` of the repository's netlify.toml."""
    base = _toml(files).get("base")
    return base if isinstance(base, str) else ""


def _settings(settings: BuildSettings) -> dict[str, tuple[str, str]]:
    names = ("framework", "install_command", "build_command", "output_directory", "node_version")
    return {name: (value, SETTINGS) for name in names if (value := getattr(settings, name)) is not None}


def _vercel(files: Files) -> dict[str, tuple[str, str]]:
    raw = read_json(files, "vercel.json") or {}
    found = {}
    for key, name in _VERCEL.items():
        if key == "framework" and key in raw and raw[key] is None:
            found[name] = (OTHER, "vercel.json")
        elif (value := raw.get(key)) is not None:
            found[name] = (_string(value, "vercel.json", key), "vercel.json")
    return found


def _netlify(files: Files) -> dict[str, tuple[str, str]]:
    place = files if "netlify.toml" in files else files.at("")
    build = _toml(place)
    found = {
        name: (_string(build[key], "netlify.toml", key), "netlify.toml")
        for key, name in (("command", "build_command"), ("publish", "output_directory"))
        if key in build
    }
    environment = build.get("environment")
    version = environment.get("NODE_VERSION") if isinstance(environment, dict) else None
    return found | ({"node_version": (str(version), "netlify.toml")} if version else {})


def _toml(files: Files) -> dict[str, Any]:
    text = files.text("netlify.toml")
    if text is None:
        return {}
    try:
        build = tomllib.loads(text).get("build", {})
    except (ValueError, RecursionError) as error:
        raise BuildFailed(
            f"{files.shown('netlify.toml')} is not valid TOML: {error}.",
            code="invalid_netlify_toml",
            hint="Correct it and push.",
            field=files.shown("netlify.toml"),
        ) from error
    return build if isinstance(build, dict) else {}


def _string(value: object, file: str, key: str) -> str:
    if not isinstance(value, str):
        raise BuildFailed(
            f"{file}: `{key}` must be a string.",
            code="invalid_" + file.replace(".", "_"),
            hint="Correct it and push.",
            field=file,
        )
    return value
