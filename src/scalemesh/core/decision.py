"""What an edge answers to one request, decided before a byte is read from disk."""

from typing import Literal

from scalemesh.core.documents import Document

Encoding = Literal["identity", "br", "zstd", "gzip"]


class Decision(Document, frozen=True):
    """`status` with `file` (a manifest path) for content, or `location` for a redirect. `headers`: extra ones."""

    status: int
    file: str | None = None
    location: str | None = None
    headers: list[tuple[str, str]] = []
