"""What a worker remembers of the sites that it serves: bounded by bytes, most recent first."""

from collections.abc import Sequence

from scalemesh.core.build import BlobRef
from scalemesh.core.manifest import Entry
from scalemesh.edge.index import Site
from scalemesh.edge.negotiate import IDENTITY, Preference, preference
from scalemesh.edge.responses import Response, head

HOT_FILE_BYTES = 128 * 1024  # larger files go from the kernel's page cache by sendfile
_MAX_ACCEPTS = 16  # different Accept-Encoding fields remembered for one page
_PAGE_COST = 2048  # keys, objects, headers

_NEVER_WITHOUT = frozenset({"etag", "accept-ranges", "content-encoding", "vary", "x-robots-tag"})
_OF_304 = frozenset({"cache-control", "content-location", "etag", "expires", "vary"})  # RFC 9110 §15.4.5
REVALIDATE = "public, max-age=0, must-revalidate"
IMMUTABLE = "public, max-age=31536000, immutable"


class Representation:
    """One coding of one file of one site: its head, and its whole response once the bytes are in memory."""

    __slots__ = ("_not_modified", "etag", "head", "hot", "lines", "ref", "status")

    def __init__(self, page: "Page", coding: str) -> None:
        status = page.status
        ref: BlobRef = getattr(page.entry, coding)
        self.ref = ref
        self.status = status
        self.etag = f'"{ref.sha256}"'.encode()
        self.lines = _lines(page.site, status, page.entry, coding, ref)
        if page.headers or page.without:
            self.lines = _ruled(self.lines, page)
        self.head = head(*self.lines, ("Content-Length", str(ref.size)))
        self.hot: Response | None = None
        self._not_modified: Response | None = None

    @property
    def not_modified(self) -> Response:
        if self._not_modified is None:
            validators = [line for line in self.lines if line[0].lower() in _OF_304]
            self._not_modified = Response(304, head(*validators))
        return self._not_modified


def _lines(site: Site, status: int, entry: Entry, coding: str, ref: BlobRef) -> list[tuple[str, str]]:
    lines = [
        ("Content-Type", entry.type),
        ("ETag", f'"{ref.sha256}"'),
        ("Cache-Control", IMMUTABLE if entry.immutable and status == 200 else REVALIDATE),
        ("X-Content-Type-Options", "nosniff"),
        ("Accept-Ranges", "bytes"),
    ]
    if coding != IDENTITY:
        lines.append(("Content-Encoding", coding))
    if entry.br or entry.zstd or entry.gzip:
        lines.append(("Vary", "Accept-Encoding"))
    if not site.production:
        lines.append(("X-Robots-Tag", "noindex"))
    return lines


def _ruled(lines: list[tuple[str, str]], page: "Page") -> list[tuple[str, str]]:
    """The site's rules over our own lines. `Vary` only grows, and a preview stays out of search engines."""
    ruled = dict(page.headers)
    ours = {name.lower(): value for name, value in lines}
    if "vary" in ruled and "vary" in ours:
        ruled["vary"] = f"{ours['vary']}, {ruled['vary']}"
    if not page.site.production:
        ruled.pop("x-robots-tag", None)
    gone = {*ruled, *(set(page.without) - _NEVER_WITHOUT)}
    kept = [line for line in lines if line[0].lower() not in gone]
    return [*kept, *((name.title(), value) for name, value in ruled.items())]


class Page:
    """One file as one site answers it with one status; representations are made when first wanted.

    `headers` (by lower-case name) and `without` are the site's rules'.
    """

    __slots__ = ("_by_coding", "by_accept", "bytes", "entry", "headers", "site", "status", "without")

    def __init__(
        self,
        site: Site,
        status: int,
        entry: Entry,
        headers: Sequence[tuple[str, str]] = (),
        without: Sequence[str] = (),
    ) -> None:
        self.site = site
        self.status = status
        self.entry = entry
        self.headers = headers
        self.without = without
        self.bytes = 0
        self._by_coding: dict[str, Representation] = {}
        self.by_accept: dict[bytes | None, Representation] = {}  # what `choose` chose

    def choose(self, accept: bytes | None) -> Representation:
        """The smallest representation among those that the client, by its Accept-Encoding, likes best."""
        chosen = self.by_accept.get(accept)
        if chosen is None:
            chosen = self.coded(self._best(preference(accept)))
            if len(self.by_accept) >= _MAX_ACCEPTS:
                self.by_accept.clear()
            self.by_accept[accept] = chosen
        return chosen

    def coded(self, coding: str) -> Representation:
        found = self._by_coding.get(coding)
        if found is None:
            found = self._by_coding[coding] = Representation(self, coding)
        return found

    def _best(self, groups: Preference) -> str:
        for group in groups:
            refs = {coding: ref for coding in group if (ref := getattr(self.entry, coding)) is not None}
            if refs:
                return min(refs, key=lambda coding: refs[coding].size)
        return IDENTITY


class HotPages:
    """Two generations: when the young one has used half of the bytes it becomes the old one, and the old one goes.
    A page found in the old one moves to the young, so what is asked for stays. No bookkeeping on a hit in
    the `young` one, where the hot path looks first."""

    def __init__(self, max_bytes: int) -> None:
        self._half = max_bytes // 2
        self._spent = 0
        self.young: dict[tuple[int, bytes], Page] = {}
        self._old: dict[tuple[int, bytes], Page] = {}

    def get(self, key: tuple[int, bytes]) -> Page | None:
        page = self.young.get(key)
        if page is None:
            page = self._old.get(key)
            if page is not None:
                self.put(key, page)
        return page

    def put(self, key: tuple[int, bytes], page: Page) -> None:
        self.young[key] = page
        self.charge(_PAGE_COST + len(key[1]) + page.bytes)

    def charge(self, size: int) -> None:
        """Bytes that a remembered page now holds in addition."""
        self._spent += size
        if self._spent > self._half:
            self._old, self.young, self._spent = self.young, {}, 0
