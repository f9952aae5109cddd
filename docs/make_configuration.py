"""Writes docs/configuration.md from the settings themselves (`make docs`); a test holds the two together."""

import dataclasses
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scalemesh.settings.model import Settings

PAGE = Path(__file__).with_name("configuration.md")
HEAD = """# Configuration

Every setting is an environment variable; most have a default that is right for one machine. A wrong value ends the
start with exit code 2 and names the variable. Sizes take `KB`, `MB`, `GB` and `TB` (powers of 1024), lists take commas.
This page is written by `make docs`.

The command line of `scalemesh up` and `scalemesh serve` has options for a few of them (`--data-dir`, `--host`,
`--api-port`, `--edge-port`), which win over the environment. `SCALEMESH_TOKEN` (with `SCALEMESH_URL`) is read by the
command line client alone.
"""
_TITLES = {
    "": "The platform",
    "build": "Builds",
    "edge": "The edge",
    "proxy": "Rewrites to other sites",
    "docker": "Builds in containers",
    "kubernetes": "Builds on Kubernetes",
    "ecs": "Builds on AWS ECS",
}


def render() -> str:
    sections = [HEAD]
    for name, kind in _trees(Settings):
        rows = [_row(field) for field in dataclasses.fields(kind) if "env" in field.metadata]
        sections.append(
            f"\n## {_TITLES[name]}\n\n| variable | default | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n"
        )
    return "".join(sections)


def _trees(kind: type[Any], name: str = "") -> Iterator[tuple[str, type[Any]]]:
    yield name, kind
    for field, nested in typing.get_type_hints(kind).items():
        if isinstance(nested, type) and dataclasses.is_dataclass(nested):
            yield from _trees(nested, field)


def _row(field: "dataclasses.Field[Any]") -> str:
    doc = field.metadata["doc"].replace("|", "\\|").replace("<", "&lt;")
    secret = " (secret: never shown)" if field.metadata["secret"] else ""
    return f"| `SCALEMESH_{field.metadata['env']}` | {_default(field)} | {doc}{secret} |"


def _default(field: "dataclasses.Field[Any]") -> str:
    if field.default in (None, "", ()):
        return "–"
    if "bytes" in field.name:
        size = int(field.default)
        unit, factor = next(((u, f) for u, f in (("GB", 1024**3), ("MB", 1024**2)) if size % f == 0), ("", 1))
        return f"`{size // factor}{unit}`"
    if isinstance(field.default, tuple):
        return f"`{','.join(field.default)}`"
    return f"`{int(field.default) if isinstance(field.default, bool) else field.default}`"


if __name__ == "__main__":
    PAGE.write_text(render())
