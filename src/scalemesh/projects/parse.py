"""What people may type: names, branches, folders, commands, variables. Raises InvalidInput and says what is allowed."""

import re
from collections.abc import Mapping
from typing import get_args

import msgspec

from scalemesh.core.build import BuildSettings, Flavour
from scalemesh.errors import InvalidInput
from scalemesh.projects.hosts import MAX_LABEL

MAX_COMMAND = 4096
MAX_CONCURRENCY = 1000
MAX_VALUE_BYTES = 64 * 1024
MAX_KNOWN_HOSTS = 16 * 1024
RESERVED = frozenset(
    [
        "admin",
        "api",
        "auth",
        "console",
        "dashboard",
        "ftp",
        "localhost",
        "login",
        "mail",
        "ns",
        "ns1",
        "ns2",
        "root",
        "scalemesh",
        "smtp",
        "www",
    ]
)
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_REF_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|\.lock(?:/|$)|(?:^|/)\.|[./]$|^[-/]")
_FRAMEWORK = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")
_NODE_VERSION = re.compile(r"[0-9A-Za-z.*^~<>=| /-]{1,64}")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def project_name(name: str) -> str:
    """A host label, https://www.rfc-editor.org/rfc/rfc1123#section-2.1, in lower case."""
    if not _NAME.fullmatch(name) or len(name) > MAX_LABEL:
        raise InvalidInput(
            f"{name!r} cannot be a project's name: a-z, 0-9 and dashes inside, {MAX_LABEL} characters at most.",
            code="invalid_name",
            hint=_suggest(name),
            field="name",
        )
    if name in RESERVED or name.startswith("xn--"):
        raise InvalidInput(
            f"The name {name!r} is reserved.", code="reserved_name", hint="Choose another.", field="name"
        )
    return name


def ref(value: str, field: str = "ref") -> str:
    """A branch, tag or commit as `git check-ref-format` allows it."""
    if not value or len(value) > 255 or value == "@" or _REF_FORBIDDEN.search(value):
        raise InvalidInput(f"{value!r} is not a branch, tag or commit.", code="invalid_ref", field=field)
    return value


def directory(value: str, field: str) -> str:
    """A folder inside the repository, as `a/b`; the repository's own is the empty string."""
    parts = [part for part in value.strip().split("/") if part not in {"", "."}]
    if value.startswith("/") or ".." in parts or "\\" in value or _CONTROL.search(value) or len(value) > 1024:
        raise InvalidInput(f"{value!r}: expected a folder inside the repository.", code="invalid_path", field=field)
    return "/".join(parts)


def settings(current: BuildSettings, changes: Mapping[str, str | bool | None]) -> BuildSettings:
    """`current` with `changes`; an empty command is kept (it means: run nothing), None leaves it to detection."""
    unknown = changes.keys() - set(BuildSettings.__struct_fields__)
    if unknown:
        name = min(unknown)
        raise InvalidInput(f"No setting {name!r}.", field=name)
    return msgspec.structs.replace(current, **{name: _setting(name, value) for name, value in changes.items()})


def _setting(name: str, value: str | bool | None) -> str | bool | None:  # noqa: FBT001 - as its owner wrote it
    if name == "reuse":
        return value is not False
    if isinstance(value, bool):
        raise InvalidInput(f"{name}: {value!r} is not valid.", field=name)
    if name == "root_directory":
        return directory(value or "", name)
    if value is None:
        return None
    if name == "output_directory":
        return directory(value, name) or "."
    if name.endswith("_command"):
        return _command(name, value)
    if name == "flavour":
        return _flavour(value)
    pattern = _FRAMEWORK if name == "framework" else _NODE_VERSION
    if not pattern.fullmatch(value):
        raise InvalidInput(f"{name}: {value!r} is not valid.", field=name)
    return value


def _flavour(value: str) -> str:
    known = get_args(Flavour)
    if value not in known:
        raise InvalidInput(f"flavour: {value!r} is not {', '.join(known)} or null.", field="flavour")
    return value


def _command(name: str, value: str) -> str:
    if len(value) > MAX_COMMAND or _CONTROL.search(value):
        raise InvalidInput(f"{name}: {MAX_COMMAND} characters at most, no control characters.", field=name)
    return value.strip()


def concurrency(value: int | None) -> int | None:
    if value is not None and not 0 <= value <= MAX_CONCURRENCY:
        raise InvalidInput(f"concurrency: {value} is not 0 (no limit) to {MAX_CONCURRENCY}.", field="concurrency")
    return value


def env_key(key: str) -> str:
    if not _KEY.fullmatch(key) or len(key) > 256:
        raise InvalidInput(
            f"{key!r} cannot be a variable's name: letters, digits and _, not starting with a digit.",
            code="invalid_env_key",
            field="key",
        )
    return key


def env_value(value: str) -> str:
    if "\0" in value or len(value.encode()) > MAX_VALUE_BYTES:
        raise InvalidInput(
            f"A value has {MAX_VALUE_BYTES // 1024} KiB at most and no NUL.", code="invalid_env_value", field="value"
        )
    return value


def env_target(target: str) -> str:
    if target not in {"production", "preview", "all"}:
        raise InvalidInput(f"No target {target!r}: production, preview or all.", field="target")
    return target


def known_hosts(value: str | None) -> str | None:
    if value and (len(value) > MAX_KNOWN_HOSTS or "\0" in value):
        raise InvalidInput("known_hosts: 16 KiB at most, the format of ssh's own file.", field="known_hosts")
    return value or None


def _suggest(name: str) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:MAX_LABEL].strip("-")
    return f"Try {slug!r}." if slug else "For example `my-site`."
