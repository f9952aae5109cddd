from scalemesh.core.build import BlobRef
from scalemesh.core.manifest import Entry, Rules
from scalemesh.edge.index import Site
from scalemesh.edge.pages import HotPages, Page


def site(*, production: bool = True) -> Site:
    return Site(team="t", project="p", deployment="d", manifest=1, production=production, rules=Rules())


def ref(digit: str, size: int) -> BlobRef:
    return BlobRef(sha256=digit * 64, size=size)


ENTRY = Entry(identity=ref("a", 100), br=ref("b", 40), gzip=ref("c", 50), type="text/html")


def test_smallest_of_the_best_liked_codings() -> None:
    page = Page(site(), 200, ENTRY)
    assert page.choose(b"gzip, br").ref == ENTRY.br
    assert page.choose(b"gzip, br;q=0.5").ref == ENTRY.gzip
    assert page.choose(b"zstd").ref == ENTRY.identity
    assert page.choose(None).ref == ENTRY.identity


def test_many_different_accept_fields_do_not_pile_up() -> None:
    page = Page(site(), 200, ENTRY)
    for number in range(1000):
        page.choose(b"gzip, x%d" % number)
    assert len(page.by_accept) <= 16


def test_headers_of_a_preview_and_of_an_immutable_file() -> None:
    preview = Page(site(production=False), 200, ENTRY).choose(b"br").head
    assert b"X-Robots-Tag: noindex\r\n" in preview
    assert b"Content-Encoding: br\r\n" in preview
    assert b"Vary: Accept-Encoding\r\n" in preview
    hashed = Entry(identity=ref("a", 1), type="text/css", immutable=True)
    production = Page(site(), 200, hashed).choose(None).head
    assert b"Cache-Control: public, max-age=31536000, immutable\r\n" in production
    assert b"X-Robots-Tag" not in production
    assert b"Vary" not in production


def test_what_is_asked_for_stays_and_the_rest_goes() -> None:
    pages = HotPages(max_bytes=100_000)
    hot = Page(site(), 200, ENTRY)
    pages.put((1, b"/hot"), hot)
    for number in range(1000):
        pages.put((1, b"/%d" % number), Page(site(), 200, ENTRY))
        assert pages.get((1, b"/hot")) is hot
    assert pages.get((1, b"/0")) is None
    assert len(pages.young) + len(pages._old) < 100
