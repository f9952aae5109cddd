"""What the owner decided: project settings, then vercel.json, then netlify.toml."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from scalemesh.core.build import BuildSettings
from scalemesh.errors import BuildFailed
from scalemesh.frameworks import netlify
from scalemesh.frameworks.files import Files, read_json
from scalemesh.frameworks.netlify import NetlifyBuild

SETTINGS = "project settings"
OTHER = "other"
_VERCEL = {
    "framework": "framework",
    "installCommand": "install_command",
    "buildCommand": "build_command",
    "outputDirectory": "output_directory",
    "ignoreCommand": "ignore_command",
}
_COMMANDS = ("install_command", "build_command", "ignore_command")
_NETLIFY = {"command": "build_command", "publish": "output_directory", "ignore": "ignore_command"}


@dataclass(frozen=True)
class Overrides:
    """Field → (value, where it came from). An empty command means that nothing is run.

    `environment`: variables that the repository sets for its builds.
    """

    values: dict[str, tuple[str, str]] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    def get(self, name: str) -> tuple[str, str] | None:
        return self.values.get(name)


def read(files: Files, settings: BuildSettings, contexts: Sequence[str]) -> Overrides:
    """`files` at the project's root directory; vercel.json and netlify.toml may also lie at the repository's."""
    toml = netlify.read(files if netlify.NAME in files else files.at(""), contexts)
    return Overrides(_netlify(toml) | _vercel(files) | _settings(settings), toml.environment)


def _settings(settings: BuildSettings) -> dict[str, tuple[str, str]]:
    names = ("framework", "node_version", "output_directory", *_COMMANDS)
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


def _netlify(toml: NetlifyBuild) -> dict[str, tuple[str, str]]:
    found = {name: (toml.values[key], netlify.NAME) for key, name in _NETLIFY.items() if key in toml.values}
    version = toml.environment.get("NODE_VERSION")
    return found | ({"node_version": (version, netlify.NAME)} if version else {})


def _string(value: object, file: str, key: str) -> str:
    if not isinstance(value, str):
        raise BuildFailed(
            f"{file}: `{key}` must be a string.",
            code="invalid_" + file.replace(".", "_"),
            hint="Correct it and push.",
            field=file,
        )
    return value
