"""What an edge answers to one request, decided before a byte is read from disk."""

from typing import Literal

from scalemesh.core.documents import Document

Encoding = Literal["identity", "br", "zstd", "gzip"]


class Matched(Document, frozen=True):
    """A rule that had a part in the answer: the file that it was written in, and the line."""

    source: str
    line: int


class Decision(Document, frozen=True):
    """`status` with `file` (a manifest path) for content, or `location` for a redirect.

    `headers` replace those that the edge would send by itself, by lower-case name; those in `without` are not sent.
    `proxy_to`: the site that is asked instead, with `proxy_headers` over the client's.
    """

    status: int
    file: str | None = None
    location: str | None = None
    headers: list[tuple[str, str]] = []
    without: list[str] = []
    proxy_to: str | None = None
    proxy_headers: list[tuple[str, str]] = []
    matched: list[Matched] = []
