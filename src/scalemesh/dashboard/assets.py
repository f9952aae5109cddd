"""Stylesheets, scripts and the icon: read once, served under a name that changes with their content."""

import hashlib
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import Request, Response

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_STYLES = [
    f"css/{name}.css"
    for name in ("tokens", "base", "controls", "cards", "rows", "forms", "navigation", "build", "log", "narrow")
]
_FOREVER = "public, max-age=31536000, immutable"


@cache
def contents() -> dict[str, tuple[bytes, str]]:
    """Path → bytes and type. `style.css` is all stylesheets in order: one request, and the order is the cascade."""
    found = dict(_walk(files("scalemesh.dashboard") / "static", ""))
    style = b"\n".join(found[name][0] for name in _STYLES)
    return {**found, "style.css": (style, _TYPES[".css"])}


@cache
def version() -> str:
    digest = hashlib.sha256()
    for name, (data, _) in sorted(contents().items()):
        digest.update(name.encode() + b"\0" + data)
    return digest.hexdigest()[:12]


def url(name: str) -> str:
    """Where an asset is served. Scripts import each other by relative path, so the version is a folder."""
    return f"/assets/{version()}/{name}"


async def serve(request: Request) -> Response:
    """Any version is answered, so that an open page survives an upgrade; only the current one may be kept."""
    asset = contents().get(request.path_params["name"])
    if asset is None:
        return Response("Not found", 404, media_type="text/plain")
    data, media_type = asset
    current = request.path_params["version"] == version()
    headers = {"Cache-Control": _FOREVER if current else "no-cache", "X-Content-Type-Options": "nosniff"}
    return Response(data, headers=headers, media_type=media_type)


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, tuple[bytes, str]]]:
    found: list[tuple[str, tuple[bytes, str]]] = []
    for entry in folder.iterdir():
        name = prefix + entry.name
        if entry.is_dir():
            found += _walk(entry, f"{name}/")
        elif (suffix := name[name.rfind(".") :]) in _TYPES:
            found.append((name, (entry.read_bytes(), _TYPES[suffix])))
    return found
