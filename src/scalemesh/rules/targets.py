"""Request targets and Host values, from the wire to the form that the manifest and the route table use.

RFC 9112 §3.2 (forms of the target), RFC 3986 §5.2.4 (dot segments). Anything odd is None: the caller answers 400.
"""

import re
import unicodedata
from urllib.parse import unquote_to_bytes

_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HOST = re.compile(rb"([A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252}))(?::[0-9]{0,5})?|\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{0,5})?")
_ABSOLUTE = re.compile(rb"https?://([^/?#@]+)(/[^?#]*)?(\?[^#]*)?", re.IGNORECASE)


def parse_path(raw: bytes) -> str | None:
    """`/caf%C3%A9` → `/café`: decoded once, UTF-8, NFC, dot segments resolved; None if that is not possible."""
    if not raw.startswith(b"/") or b"#" in raw or _BAD_ESCAPE.search(raw):
        return None
    try:
        path = (unquote_to_bytes(raw) if b"%" in raw else raw).decode()
    except UnicodeDecodeError:
        return None
    if _CONTROL.search(path):
        return None
    if not path.isascii():
        path = unicodedata.normalize("NFC", path)
    return _without_dots(path) if "/." in path else path


def _without_dots(path: str) -> str | None:
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            if not kept:
                return None
            kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return "/" + "/".join(kept)


def parse_host(raw: bytes) -> str | None:
    """`Blog.Localhost:8080` → `blog.localhost`; None if it is not a valid Host value."""
    match = _HOST.fullmatch(raw)
    if match is None:
        return None
    return (match[1] or raw.rpartition(b"]")[0] + b"]").decode().lower().rstrip(".")


def split_absolute(target: bytes) -> tuple[bytes, bytes] | None:
    """`http://host/path?query` → its authority, which replaces the Host field (RFC 9112 §3.2.2), and the rest."""
    match = _ABSOLUTE.fullmatch(target)
    return (match[1], (match[2] or b"/") + (match[3] or b"")) if match else None
