"""How the tools of a Python generator are installed: by uv, into the virtual environment of VIRTUAL_ENV.

uv.lock beats requirements files, which beat pyproject.toml; the generator is added where none of them names it.
"""

import re
from dataclasses import dataclass

from scalemesh.errors import BuildFailed
from scalemesh.frameworks.files import Files

MANAGER = "uv"
REQUIREMENTS = ("requirements.txt", "docs/requirements.txt", "requirements-docs.txt")
_UNREAD = {
    "poetry.lock": "poetry export -f requirements.txt -o requirements.txt",
    "Pipfile.lock": "pipenv requirements > requirements.txt",
    "Pipfile": "pipenv requirements > requirements.txt",
}
_VERSION = re.compile(r"(?:c?python-)?(\d+)(?:\.(\d+))?(?:\.\d+)?")


@dataclass(frozen=True)
class Installation:
    command: str
    source: str


def installation(files: Files, generator: str) -> Installation:
    """`generator` is a requirement, e.g. `pelican[markdown]`.

    Raises BuildFailed: python_version_unsupported, lockfile_unsupported.
    """
    version = _version(files)
    python = f" --python {version}" if version else ""
    has_project = files.contains("pyproject.toml", r"(?m)^\[project\]")
    if has_project and "uv.lock" in files:
        return _synced(files, f"uv sync --locked --all-groups{python}", "uv.lock", generator)
    environment = f'uv venv --clear{python} "$VIRTUAL_ENV"'
    if named := [name for name in REQUIREMENTS if name in files]:
        wanted = " ".join(f"-r {name}" for name in named)
        more = "" if _names(files, named, generator) else f" '{generator}'"
        return Installation(f"{environment} && uv pip install {wanted}{more}", named[0])
    if has_project:
        return _synced(files, f"uv sync --all-groups{python}", "pyproject.toml", generator)
    _refuse_unread(files)
    return Installation(f"{environment} && uv pip install '{generator}'", "default")


def _synced(files: Files, command: str, source: str, generator: str) -> Installation:
    more = "" if _names(files, [source], generator) else f" && uv pip install '{generator}'"
    return Installation(command + more, source)


def _names(files: Files, paths: list[str], generator: str) -> bool:
    """Whether any of `paths` has the generator itself; a theme or plugin of it brings it, but not its extras."""
    project = re.escape(generator.partition("[")[0])
    return any(files.contains(path, rf"(?im)(^|[\"'\s]){project}(?![\w.-])") for path in paths)


def _version(files: Files) -> str | None:
    """`3.12` of .python-version or runtime.txt: the line is what a project depends on."""
    for name in (".python-version", "runtime.txt"):
        stated = next(iter((files.text(name) or "").split()), None)
        if stated is None:
            continue
        match = _VERSION.fullmatch(stated)
        if match is None:
            raise BuildFailed(
                f"{files.shown(name)} asks for Python {stated!r}, which is no version.",
                code="python_version_unsupported",
                hint="Write a version such as 3.11, or remove the file.",
                field=files.shown(name),
            )
        return ".".join(part for part in match.groups() if part)
    return None


def _refuse_unread(files: Files) -> None:
    if unread := files.first(list(_UNREAD)):
        raise BuildFailed(
            f"{files.shown(unread)} cannot be installed here: uv reads uv.lock, requirements.txt and the [project] of "
            "pyproject.toml.",
            code="lockfile_unsupported",
            hint=f"Run `{_UNREAD[unread]}` and commit the file, or set an install command.",
            field=files.shown(unread),
        )
