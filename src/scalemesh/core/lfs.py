"""Git LFS's documents: the pointer that lies in the tree, and the batch API's answer. Pure.

https://github.com/git-lfs/git-lfs/tree/main/docs
"""

import re
from dataclasses import dataclass

import msgspec

from scalemesh.core.git_url import GitUrl

MAX_POINTER_BYTES = 1024
MEDIA_TYPE = "application/vnd.git-lfs+json"
_VERSION = re.compile(rb"version https?://(?:git-lfs\.github\.com|hawser\.github\.com)/spec/v\d+\n")
_OID = re.compile(rb"^oid sha256:([0-9a-f]{64})$", re.MULTILINE)
_SIZE = re.compile(rb"^size (\d{1,18})$", re.MULTILINE)


@dataclass(frozen=True)
class Pointer:
    """`path` is relative to the repository's folder; `oid` the SHA-256 of the content."""

    path: str
    oid: str
    size: int


class Action(msgspec.Struct, frozen=True):
    href: str
    header: dict[str, str] = {}


class _Actions(msgspec.Struct, frozen=True):
    download: Action | None = None


class _Error(msgspec.Struct, frozen=True):
    code: int = 0
    message: str = ""


class Object(msgspec.Struct, frozen=True):
    """One of the batch: where to get it, or why not."""

    oid: str
    actions: _Actions = _Actions()
    error: _Error | None = None


class Answer(msgspec.Struct, frozen=True):
    objects: list[Object]


def parse_pointer(path: str, content: bytes) -> Pointer | None:
    """None for what is no pointer: a file that was committed as it is."""
    oid, size = _OID.search(content), _SIZE.search(content)
    if len(content) > MAX_POINTER_BYTES or not _VERSION.match(content) or oid is None or size is None:
        return None
    return Pointer(path, oid[1].decode(), int(size[1]))


def endpoint(url: GitUrl) -> str:
    """Where a repository's server has its LFS API, unless .lfsconfig says otherwise; https where git comes over ssh."""
    base = url.over_https.rstrip("/")
    return (base if base.endswith(".git") else f"{base}.git") + "/info/lfs"
