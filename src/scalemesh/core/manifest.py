"""The manifest: what a deployment serves. Blobs first, manifest last; validated on receipt.

`files` maps an absolute, NFC-normalised path (`/assets/app.js`) to its Entry. Compressed variants stand in the entry
itself, by the hash of their own bytes: no lookup leads from identity to variant, so nobody can plant one.
"""

from typing import Literal

from scalemesh.core.build import BlobRef
from scalemesh.core.documents import Document


class Entry(Document, frozen=True):
    """One file. `type` is its Content-Type, whole. `immutable`: its name carries a hash, cache it for a year."""

    identity: BlobRef
    type: str
    br: BlobRef | None = None
    zstd: BlobRef | None = None
    gzip: BlobRef | None = None
    immutable: bool = False


class Rules(Document, frozen=True):
    """How paths are answered beyond the files themselves; the rule files of the peers compile to this.

    `clean_urls`: `/a` answers with `/a.html`. `fallback`: the file that answers what nothing else does, with 200 (SPA).
    """

    clean_urls: bool = True
    trailing_slash: bool | None = None
    fallback: str | None = None


class Manifest(Document, frozen=True):
    files: dict[str, Entry]
    rules: Rules = Rules()
    version: Literal[1] = 1
