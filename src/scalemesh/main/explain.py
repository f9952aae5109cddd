"""`scalemesh explain`: what a site would answer to one request, and which lines of its rule files say so."""

import os
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scalemesh.artifacts.beneath import Walk, open_folder
from scalemesh.artifacts.pack import never_served
from scalemesh.artifacts.types import content_type
from scalemesh.core.build import BlobRef, Flavour, Limits
from scalemesh.core.decision import Decision
from scalemesh.core.manifest import Entry
from scalemesh.errors import InvalidInput
from scalemesh.main import rules
from scalemesh.rules.decide import decide
from scalemesh.rules.matching import Ready, Request
from scalemesh.rules.targets import parse_host, parse_path

_PATH = "It begins with `/` and is written as in an address bar: /caf%C3%A9?page=2"
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
_NO_BYTES = BlobRef(sha256="0" * 64, size=0)  # a decision looks at names alone


def explain(
    directory: Path, target: str, method: str, headers: Mapping[str, str], flavour: Flavour | None
) -> tuple[dict[str, Any], list[str]]:
    """The answer as `shown` has it, and complaints about the rule files. Raises InvalidInput for what is a 400."""
    raw, _, query = target.partition("?")
    path = parse_path(os.fsencode(raw))
    if path is None:
        raise InvalidInput(f"{raw!r} is not a path that an edge answers.", code="invalid_path", hint=_PATH)
    if method.upper() not in _METHODS:
        raise InvalidInput(f"{method!r} is not a method that an edge answers.", hint=f"Use {', '.join(_METHODS)}.")
    files = _files(directory)
    parsed = rules.of_folder(directory, files, flavour)
    fields = {name.lower().encode(): os.fsencode(value) for name, value in headers.items()}
    host = parse_host(fields[b"host"]) if b"host" in fields else ""
    if host is None:
        raise InvalidInput(f"{headers['host']!r} is not a host.")
    request = Request(path=path, query=query, method=method.upper(), host=host, headers=fields)
    return shown(decide(request, files.get, Ready(parsed.rules))), parsed.complaints


def shown(decision: Decision) -> dict[str, Any]:
    return {
        "status": decision.status,
        "headers": dict(decision.headers),
        "file": decision.file,
        "location": decision.location,
        "proxy_to": decision.proxy_to,
        "matched": [{"source": each.source, "line": each.line} for each in decision.matched],
    }


def _files(directory: Path) -> dict[str, Entry]:
    root = open_folder(directory)
    try:
        walk = Walk(Limits(), never_served).beneath(root)
        return {
            "/" + unicodedata.normalize("NFC", found.path): _entry(found.path) for found in walk if found.kind == "file"
        }
    finally:
        os.close(root)


def _entry(path: str) -> Entry:
    return Entry(identity=_NO_BYTES, type=content_type(path))
