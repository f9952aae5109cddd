"""From a request to a response: the part of a worker that knows sites. No sockets here.

Every answer comes from the index, memory and files; only a blob that is not on disk makes it wait (for the keeper).
"""

import functools
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

from scalemesh.core.build import BlobRef
from scalemesh.core.decision import Decision
from scalemesh.core.manifest import Entry
from scalemesh.edge import responses
from scalemesh.edge.blobfiles import BlobFiles, OpenBlob
from scalemesh.edge.conditions import precondition
from scalemesh.edge.index import IndexReader, Site
from scalemesh.edge.negotiate import IDENTITY
from scalemesh.edge.pages import HOT_FILE_BYTES, HotPages, Page, Representation
from scalemesh.edge.parts import WHOLE_BYTES, Part
from scalemesh.edge.ranges import Span, byte_ranges, fit, partial, several, single_head
from scalemesh.edge.request import Request
from scalemesh.edge.responses import FileSlice, Response, head
from scalemesh.edge.upstream.target import Proxied
from scalemesh.errors import Unavailable
from scalemesh.rules.decide import decide
from scalemesh.rules.matching import Ready
from scalemesh.rules.matching import Request as RuledRequest
from scalemesh.rules.targets import parse_host, parse_path

MAX_SITES = 4096
MAX_READY = 64  # sites whose compiled rules are kept
MAX_OPEN_FILES = 128
MAX_STAMPS = 65536
HOT_BYTES = 24 * 1024 * 1024

Fetch = Callable[[str, BlobRef], Awaitable[bool]]
ReadPart = Callable[[str, BlobRef, int, int], AsyncIterator[bytes]]
Answer = Response | Proxied | Part | Coroutine[Any, Any, Response]


class Serving:
    """`answer` is called for each request, in the event loop; a coroutine comes back only where a blob is missing, and
    Proxied where another site is to answer, and a Part where the store is to be read past the disk."""

    def __init__(
        self,
        index: IndexReader,
        generation: memoryview,
        files: BlobFiles,
        fetch: Fetch,
        read_part: ReadPart,
        *,
        hot_bytes: int = HOT_BYTES,
        every_host: str | None = None,
    ) -> None:
        self._index = index
        self._generation = generation
        self._seen = -1
        self._files = files
        self._fetch = fetch
        self._read_part = read_part
        self._every_host = every_host
        self._sites: dict[bytes, Site] = {}
        self._ready: OrderedDict[int, Ready] = OrderedDict()
        self._pages = HotPages(hot_bytes)
        self._open: OrderedDict[tuple[str, str], OpenBlob] = OrderedDict()
        self._intact: dict[tuple[str, str], tuple[int, int, int]] = {}

    def answer(self, request: Request) -> Answer:
        site = self._sites.get(request.host)
        if site is not None and self._generation[0] == self._seen:
            request.project = site.project
            key = (site.key, request.target)
            page = self._pages.young.get(key) or self._pages.get(key)
            if page is not None and (request.plain or request.method == b"GET" or request.method == b"HEAD"):
                return self._answer_page(page, request)
        with self._index:
            found = self._look_up(request)
        return self._answer_page(found, request) if isinstance(found, Page) else found

    def proxies(self, request: Request) -> bool:
        """Whether another site is to answer, for a request whose body has not come in."""
        with self._index:
            site = self._find_site(request.host)
            if isinstance(site, Response) or not self._ready_rules(site).proxies:
                return False
            return isinstance(self._decide(site, request), Proxied)

    def _look_up(self, request: Request) -> Page | Proxied | Response:
        site = self._find_site(request.host)
        if isinstance(site, Response):
            return site
        request.project = site.project
        page = self._pages.get((site.key, request.target)) if request.method in {b"GET", b"HEAD"} else None
        return page or self._decide(site, request)

    def _answer_page(self, page: Page, request: Request) -> Answer:
        headers = request.headers
        if page.status == 200 and (b"if-none-match" in headers or b"range" in headers or b"if-match" in headers):
            return self._answer_conditional(page, request)
        accept = headers.get(b"accept-encoding")
        chosen = page.by_accept.get(accept) or page.choose(accept)
        return chosen.hot or self._whole(page, chosen)

    def _find_site(self, raw_host: bytes) -> Site | Response:
        if self._generation[0] != self._seen:
            self._seen = self._generation[0]
            self._sites.clear()
        elif raw_host in self._sites:
            return self._sites[raw_host]
        host = parse_host(raw_host) if raw_host else ""
        if host is None:
            return responses.REFUSALS[400]
        site = self._index.site(self._every_host or host)
        if site is None:
            return responses.UNKNOWN_HOST if self._index.version() else responses.NO_ROUTES_YET
        if len(self._sites) >= MAX_SITES:
            self._sites.clear()
        self._sites[raw_host] = site
        return site

    def _decide(self, site: Site, request: Request) -> Page | Proxied | Response:
        path = parse_path(request.target)
        if path is None:
            return responses.REFUSALS[400]
        lookup = functools.cache(functools.partial(self._index.entry, site.manifest))
        ready = self._ready_rules(site)
        decision = decide(_ruled(request, path, ready), lookup, ready)
        if decision.proxy_to is not None:
            return Proxied(
                decision.proxy_to,
                site.team,
                site.production,
                decision.headers,
                decision.without,
                decision.proxy_headers,
            )
        if decision.file is None:
            return _without_file(decision)
        entry = lookup(decision.file)
        if entry is None:
            return responses.NOT_FOUND
        page = self._page(site, decision, entry)
        if not ready.by_request:
            self._pages.put((site.key, request.target), page)
        return page

    def _ready_rules(self, site: Site) -> Ready:
        ready = self._ready.get(site.manifest)
        if ready is None:
            ready = self._ready[site.manifest] = Ready(site.rules)
            if len(self._ready) > MAX_READY:
                self._ready.popitem(last=False)
        else:
            self._ready.move_to_end(site.manifest)
        return ready

    def _page(self, site: Site, decision: Decision, entry: Entry) -> Page:
        """One Page per file, status and headers, however many paths lead to it."""
        ruled = repr((decision.headers, decision.without)) if decision.headers or decision.without else ""
        key = (site.key, f"{decision.status} {decision.file} {ruled}".encode())
        page = self._pages.get(key)
        if page is None:
            page = Page(site, decision.status, entry, decision.headers, decision.without)
            self._pages.put(key, page)
        return page

    def _answer_conditional(self, page: Page, request: Request) -> Answer:
        """Ranges are of the identity coding, as players and resumers expect, and defined for GET only (§14.2)."""
        headers = request.headers
        ranged = request.method == b"GET" and b"range" in headers
        chosen = page.coded(IDENTITY) if ranged else page.choose(headers.get(b"accept-encoding"))
        failed = precondition(headers, chosen.etag)
        if failed is not None:
            return chosen.not_modified if failed == 304 else Response(412, head(("Content-Length", "0")))
        wanted = byte_ranges(headers, chosen.etag, chosen.ref.size) if ranged else 200
        if wanted == 416:
            return Response(
                416,
                head(
                    ("Content-Range", f"bytes */{chosen.ref.size}"),
                    ("Content-Length", "0"),
                    ("ETag", chosen.etag.decode()),
                ),
            )
        if isinstance(wanted, int):
            return chosen.hot or self._whole(page, chosen)
        whole = chosen.hot or self._from_disk(page, chosen)
        return partial(chosen, whole, wanted) if whole is not None else self._part_from_keeper(page, chosen, wanted)

    def _part_from_keeper(self, page: Page, chosen: Representation, spans: list[Span]) -> Answer:
        """Of a large file that is not here no more than what is asked for. A damaged one is here: it is mended."""
        team, ref = page.site.team, chosen.ref
        if ref.size <= WHOLE_BYTES or self._files.open(team, ref) is not None:
            return self._part_of_whole(page, chosen, spans)
        if len(spans) == 1:
            first, last = spans[0]
            return Part(single_head(chosen, first, last), team, ref, first, last + 1)
        return self._several_parts(team, chosen, spans) if fit(spans) else self._from_keeper(page, chosen)

    async def _part_of_whole(self, page: Page, chosen: Representation, spans: list[Span]) -> Response:
        return partial(chosen, await self._from_keeper(page, chosen), spans)

    async def _several_parts(self, team: str, chosen: Representation, spans: list[Span]) -> Response:
        parts = []
        try:
            for first, last in spans:
                pieces = self._read_part(team, chosen.ref, first, last + 1)
                parts.append(((first, last), b"".join([piece async for piece in pieces])))
        except Unavailable:
            return responses.NO_BLOB
        return several(chosen, parts)

    def _whole(self, page: Page, chosen: Representation) -> Response | Coroutine[Any, Any, Response]:
        return self._from_disk(page, chosen) or self._from_keeper(page, chosen)

    async def _from_keeper(self, page: Page, chosen: Representation) -> Response:
        team = page.site.team
        if not await self._fetch(team, chosen.ref):
            return responses.NO_BLOB
        if chosen.ref.size > HOT_FILE_BYTES and (blob := self._files.open(team, chosen.ref)) is not None:
            if len(self._intact) >= MAX_STAMPS:
                self._intact.clear()
            self._intact[team, chosen.ref.sha256] = blob.stamp
        return self._from_disk(page, chosen) or responses.NO_BLOB

    def _from_disk(self, page: Page, chosen: Representation) -> Response | None:
        """The response, if the blob is on disk and known to be intact."""
        if chosen.ref.size > HOT_FILE_BYTES:
            blob = self._opened(page.site.team, chosen.ref)
            return (
                None if blob is None else Response(chosen.status, chosen.head, file=FileSlice(blob, 0, chosen.ref.size))
            )
        data = self._files.read(page.site.team, chosen.ref)
        if data is None:
            return None
        if chosen.hot is None:
            chosen.hot = Response(chosen.status, chosen.head, data)
            page.bytes += len(data)
            self._pages.charge(len(data))
        return chosen.hot

    def _opened(self, team: str, ref: BlobRef) -> OpenBlob | None:
        """A large file that the keeper has verified since it last changed, if this worker saw that happen."""
        key = (team, ref.sha256)
        blob = self._open.get(key)
        if blob is not None and blob.unchanged():
            self._open.move_to_end(key)
            return blob
        self._open.pop(key, None)
        blob = self._files.open(team, ref)
        if blob is None or self._intact.get(key) != blob.stamp:
            return None
        self._open[key] = blob
        blob.used()
        if len(self._open) > MAX_OPEN_FILES:
            self._open.popitem(last=False)
        return blob


def _ruled(request: Request, path: str, ready: Ready) -> RuledRequest:
    """What the rules look at; a site without any needs no more than the path."""
    query, method = request.query.decode("latin-1"), request.method.decode()
    if ready.plain:
        return RuledRequest(path=path, query=query, method=method)
    host = parse_host(request.host) or "" if request.host else ""
    return RuledRequest(path=path, query=query, method=method, host=host, headers=request.headers)


def _without_file(decision: Decision) -> Response:
    lines = [(name.title(), value) for name, value in decision.headers]
    if decision.location is not None:
        lines += [("Location", decision.location), ("Cache-Control", "public, max-age=0, must-revalidate")]
    elif decision.status in responses.WITHOUT_PAGE:
        of_page = [line for line in lines if line[0] != "Content-Type"]
        return responses.own_page(decision.status, responses.WITHOUT_PAGE[decision.status], extra=of_page)
    if decision.status != 204:
        lines.append(("Content-Length", "0"))
    return Response(decision.status, head(*lines))
