"""The environment, and what the command line overrides, as Settings."""

import dataclasses
import re
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scalemesh.errors import BadSettings
from scalemesh.settings.model import EdgeSettings, Settings, default_data_dir

PREFIX = "SCALEMESH_"
_UNITS = {"": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}


def load(environ: Mapping[str, str], **overrides: Any) -> Settings:
    """Settings from `environ`; `overrides` (top-level fields, None left out) win over it."""
    settings = _read(Settings, environ)
    return _with_defaults(dataclasses.replace(settings, **{k: v for k, v in overrides.items() if v is not None}))


def _read(kind: type[Any], environ: Mapping[str, str]) -> Any:
    hints = typing.get_type_hints(kind)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(hints[field.name]):
            values[field.name] = _read(hints[field.name], environ)
        elif raw := environ.get(name := PREFIX + field.metadata["env"]):
            values[field.name] = _parse(name, raw, hints[field.name], is_size="bytes" in field.name)
    return kind(**values)


def _parse(name: str, raw: str, kind: Any, *, is_size: bool) -> Any:
    try:
        return _convert(raw.strip(), kind, is_size=is_size)
    except ValueError as error:
        raise BadSettings(f"{name}={raw!r}: {error}", hint=f"Correct {name} and start again.", field=name) from error


def _convert(raw: str, kind: Any, *, is_size: bool) -> Any:
    if is_size:
        return parse_size(raw)
    if kind is bool:
        if raw.lower() not in {"1", "0", "true", "false", "yes", "no"}:
            raise ValueError("expected 1 or 0")
        return raw.lower() in {"1", "true", "yes"}
    if kind in {int, float, Path}:
        return kind(raw)
    if isinstance(kind, types.GenericAlias):
        return tuple(part.strip() for part in raw.split(",") if part.strip())
    return raw


def parse_size(raw: str) -> int:
    """`4GB`, `512MB` or a number of bytes; units are powers of 1024."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?B)?", raw.upper())
    if not match:
        raise ValueError("expected a number of bytes, or one with KB, MB, GB or TB")
    return int(float(match[1]) * _UNITS[match[2] if match[2] and match[2] != "B" else ""])


def _with_defaults(s: Settings) -> Settings:
    data = (s.data_dir or default_data_dir()).absolute()
    filled = dataclasses.replace(
        s,
        data_dir=data,
        url=(s.url or f"http://localhost:{s.api_port}").rstrip("/"),
        internal_url=(s.internal_url or f"http://{_reached_at(s.host)}:{s.api_port}").rstrip("/"),
        sites_url=(s.sites_url or f"http://*.localhost:{s.edge_port}").rstrip("/"),
        database_url=s.database_url or f"sqlite+aiosqlite:///{data}/scalemesh.db",
        storage_url=s.storage_url or f"file://{data}/artifacts",
        log_archive_url=s.log_archive_url or f"sqlite:///{data}/logs.db",
    )
    _check(filled)
    return filled


def _reached_at(host: str) -> str:
    """Where this machine reaches what listens on `host`."""
    if host in {"", "0.0.0.0", "localhost"}:  # noqa: S104  nothing is bound here
        return "127.0.0.1"
    return "[::1]" if host == "::" else f"[{host}]" if ":" in host else host


def _check(s: Settings) -> None:
    if s.sites_url.count("*") != 1 or not re.fullmatch(r"https?://\*\.[^/*]+", s.sites_url):
        raise BadSettings(
            f"SCALEMESH_SITES_URL={s.sites_url!r}: expected http://*.domain[:port]",
            hint="For example https://*.apps.example.org.",
            field="SCALEMESH_SITES_URL",
        )
    for name, port in (("SCALEMESH_API_PORT", s.api_port), ("SCALEMESH_EDGE_PORT", s.edge_port)):
        if not 0 < port < 65536:
            raise BadSettings(f"{name}={port}: expected 1 to 65535", field=name)
    _check_edge(s.edge)
    if s.log_level not in {"debug", "info", "warning", "error"}:
        raise BadSettings(
            f"SCALEMESH_LOG_LEVEL={s.log_level!r}: expected debug, info, warning or error", field="SCALEMESH_LOG_LEVEL"
        )
    if s.build.sandbox not in {"auto", "bubblewrap", "none"}:
        raise BadSettings(
            f"SCALEMESH_BUILD_SANDBOX={s.build.sandbox!r}: expected auto or none", field="SCALEMESH_BUILD_SANDBOX"
        )


def _check_edge(edge: EdgeSettings) -> None:
    if not re.fullmatch(r"0?[0-7]{3}", edge.socket_mode):
        raise BadSettings(
            f"SCALEMESH_EDGE_SOCKET_MODE={edge.socket_mode!r}: expected three octal digits",
            hint="660: the owner and the group may connect; 666: everybody on this machine.",
            field="SCALEMESH_EDGE_SOCKET_MODE",
        )
    for name in ("keepalive_requests", "keepalive_time_s", "keepalive_idle_s", "drain_s"):
        if (value := getattr(edge, name)) <= 0:
            variable = f"SCALEMESH_EDGE_{name.removesuffix('_s').upper()}"
            raise BadSettings(f"{variable}={value:g}: expected more than 0", field=variable)
