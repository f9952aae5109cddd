"""The manifest: what a deployment serves. Blobs first, manifest last; validated on receipt.

`files` maps an absolute, NFC-normalised path (`/assets/app.js`) to its Entry. Compressed variants stand in the entry
itself, by the hash of their own bytes: no lookup leads from identity to variant, so nobody can plant one.
"""

from typing import Literal

from scalemesh.core.build import BlobRef, Flavour
from scalemesh.core.documents import Document


class Entry(Document, frozen=True):
    """One file. `type` is its Content-Type, whole. `immutable`: its name carries a hash, cache it for a year."""

    identity: BlobRef
    type: str
    br: BlobRef | None = None
    zstd: BlobRef | None = None
    gzip: BlobRef | None = None
    immutable: bool = False


Template = list[str]  # text, parameter, text, …: odd places name a group (by number) or a named group of a condition


class Condition(Document, frozen=True):
    """Holds if the request's value is there and `pattern` (RE2, whole value) matches it, or not, if `negated`.

    `compare` with `number` instead, for values that are numbers.
    """

    kind: Literal["host", "header", "cookie", "query"]
    key: str = ""
    pattern: str | None = None
    negated: bool = False
    compare: Literal["", "gt", "gte", "lt", "lte"] = ""
    number: float = 0


class Selector(Document, frozen=True):
    """Which requests: those for one of `paths`, or whose whole path `pattern` (RE2) matches and no `unless` does.

    `source` and `line` say where it was written.
    """

    source: str
    line: int
    paths: list[str] = []
    pattern: str | None = None
    unless: list[str] = []
    ignore_case: bool = False
    has: list[Condition] = []
    missing: list[Condition] = []


class Rule(Selector, frozen=True, kw_only=True):
    """Redirects to `to` (3xx), or answers with the file at `to` under `status`. `force`: though a file is there.
    `proxy_headers`: for the other site that `to` names, in place of what the client sends under these names."""

    status: int
    to: Template = []
    force: bool = False
    proxy_headers: list[tuple[str, str]] = []


class HeaderChange(Document, frozen=True):
    name: str
    value: Template = []
    change: Literal["set", "append", "unset"] = "set"


class HeaderRule(Selector, frozen=True, kw_only=True):
    """Every one that applies counts, in order."""

    headers: list[HeaderChange]


class Rules(Document, frozen=True):
    """How paths are answered beyond the files themselves; the rule files of the peers compile to this.

    `clean_urls`: `/a` answers with `/a.html`. `fallback`: the file that answers what nothing else does, with 200 (SPA).
    `flavour`: whose lookup of files, and whose treatment of queries; None is our own. `canonical`: `/a.html` and
    `/index` are redirected (Vercel's cleanUrls, Cloudflare's html_handling), with `canonical_status`.
    """

    clean_urls: bool = True
    trailing_slash: bool | None = None
    fallback: str | None = None
    flavour: Flavour | None = None
    canonical: bool = False
    canonical_status: Literal[307, 308] = 308
    rules: list[Rule] = []
    headers: list[HeaderRule] = []


class Manifest(Document, frozen=True):
    """`complaints` say what was left out of the rules, as `file:line: what is wrong`."""

    files: dict[str, Entry]
    rules: Rules = Rules()
    complaints: list[str] = []
    version: Literal[1] = 1
