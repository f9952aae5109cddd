"""`scalemesh detect`: the plan of a folder on this machine, as the build would make it."""

import os
from pathlib import Path
from typing import Any

import msgspec

from scalemesh.core.build import BuildSettings
from scalemesh.frameworks import contexts, detect

_SKIPPED = {".git", "node_modules", ".venv"}
SHOWN = (
    "framework",
    "package_manager",
    "node_version",
    "install_command",
    "build_command",
    "output_directory",
    "root_directory",
    "sources",
)


def plan(directory: Path, root_directory: str = "", *, target: str = "production", branch: str = "") -> dict[str, Any]:
    """The plan as JSON; raises BuildFailed where the folder cannot be built."""
    listing = []
    for base, names, leaves in os.walk(directory):
        names[:] = [name for name in names if name not in _SKIPPED]
        listing += [(Path(base) / leaf).relative_to(directory).as_posix() for leaf in leaves]
    settings = BuildSettings(root_directory=root_directory)
    made = detect(listing, lambda path: _read(directory / path), settings, contexts(target, branch))
    shown = {name: value for name, value in msgspec.structs.asdict(made).items() if name in SHOWN}
    return shown | ({"ignore_command": made.ignore_command} if made.ignore_command else {})


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
