"""What netlify.toml says about a build: `[build]`, with the contexts of the deploy laid over it.

https://docs.netlify.com/build/configure-builds/file-based-configuration/
"""

import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from scalemesh.errors import BuildFailed
from scalemesh.frameworks.files import Files

NAME = "netlify.toml"
PRODUCTION = ("production",)
_KEYS = ("base", "command", "publish", "ignore")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class NetlifyBuild:
    """`values` by netlify.toml's own keys, `environment` of build and contexts together."""

    values: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)


def contexts(target: str, branch: str | None) -> tuple[str, ...]:
    """The deploy contexts that apply, the most special last: a preview of a branch is a branch deploy too."""
    if target == "production":
        return (*PRODUCTION, *([branch] if branch else []))
    return ("deploy-preview", *(["branch-deploy", branch] if branch else []))


def read(files: Files, names: Sequence[str] = PRODUCTION) -> NetlifyBuild:
    """Of the netlify.toml that lies there; nothing where there is none. Raises BuildFailed `invalid_netlify_toml`."""
    found = NetlifyBuild()
    for where, table in _tables(files, names):
        found.values.update({key: _string(files, f"{where} {key}", table[key]) for key in _KEYS if key in table})
        for name, value in _table(table.get("environment")).items():
            found.environment[_name(files, where, name)] = _value(files, f"{where} environment {name}", value)
    return found


def _tables(files: Files, names: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    raw = _parsed(files)
    yield "[build]", _table(raw.get("build"))
    for name in dict.fromkeys(names):
        yield f"[context.{name}]", _table(_table(raw.get("context")).get(name))


def _parsed(files: Files) -> dict[str, Any]:
    try:
        return tomllib.loads(files.text(NAME) or "")
    except (ValueError, RecursionError) as error:
        raise _invalid(files, f" is not valid TOML: {error}.") from error


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _string(files: Files, where: str, value: object) -> str:
    if not isinstance(value, str):
        raise _invalid(files, f": `{where}` must be a string.")
    return value


def _name(files: Files, where: str, name: str) -> str:
    if not _VARIABLE.fullmatch(name):
        raise _invalid(files, f": `{where}` has a variable {name!r}, which cannot be one's name.")
    return name


def _value(files: Files, where: str, value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    text = _string(files, where, value)
    if "\0" in text:
        raise _invalid(files, f": `{where}` has a NUL in it.")
    return text


def _invalid(files: Files, what: str) -> BuildFailed:
    path = files.shown(NAME)
    return BuildFailed(f"{path}{what}", code="invalid_netlify_toml", hint="Correct it and push.", field=path)
