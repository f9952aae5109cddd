"""Which file a path means, and which other path is the one to use, as each flavour has it."""

from collections.abc import Iterator

from scalemesh.core.manifest import Rules
from scalemesh.rules import html_handling
from scalemesh.rules.html_handling import Lookup


def find(path: str, lookup: Lookup, rules: Rules) -> str | None:
    if rules.flavour == "cloudflare":
        return html_handling.find(path, lookup, rules)
    candidates = _netlify(path) if rules.flavour == "netlify" else _candidates(path, rules)
    return next((candidate for candidate in candidates if lookup(candidate) is not None), None)


def other_form(path: str, lookup: Lookup, rules: Rules) -> str | None:
    """The path to redirect to; None: this one is right. Leading slashes collapse: `//evil.example/` stays here."""
    if path == "/":
        return None
    if rules.flavour == "cloudflare":
        if html_handling.is_pages(rules) and (folder := html_handling.without_index(path, lookup)):
            return folder
        page = html_handling.find(path, lookup, rules)
        right = path if page is None else html_handling.address(page, lookup, rules)
        return right if right != path else None
    if rules.canonical and (clean := _clean(path, rules)) is not None:
        return clean
    return None if rules.trailing_slash is None else _other_slash(path, slash=rules.trailing_slash)


def _candidates(path: str, rules: Rules) -> Iterator[str]:
    if path.endswith("/"):
        yield path + "index.html"
        if rules.clean_urls and path != "/":
            yield path.rstrip("/") + ".html"
        return
    yield path
    if rules.clean_urls:
        yield path + ".html"
    yield path + "/index.html"


def _netlify(path: str) -> Iterator[str]:
    """netlify/cli, src/utils/proxy.ts."""
    bare = path.rstrip("/")
    if not path.endswith("/"):
        yield path
    if bare:
        yield from (bare + ".html", bare + ".htm")
    yield from (bare + "/index.html", bare + "/index.htm")


def _clean(path: str, rules: Rules) -> str | None:
    """Vercel's cleanUrls: `/a.html` → `/a`, `/a/index` → `/a`. Their `//` for `/index.html` is `/` here."""
    bare = path.rstrip("/") if path.count("/") > 1 else path
    end = "/" if rules.trailing_slash else ""
    folder, _, name = bare.rpartition("/")
    if name in {"index", "index.html"}:
        return _joined(folder, end)
    if bare.endswith(".html") and name != ".html":
        return _joined(bare.removesuffix(".html"), end)
    return None


def _joined(path: str, end: str) -> str:
    inner = path.strip("/")
    return f"/{inner}{end}" if inner else "/"


def _other_slash(path: str, *, slash: bool) -> str | None:
    """Vercel's trailingSlash: `true` gives what has no dot a slash, takes it from what ends like a file's name."""
    bare = path.rstrip("/")
    stem, dot, ending = bare.rpartition("/")[2].rpartition(".")
    if not slash:
        return "/" + path.strip("/") if path.endswith("/") else None
    if path == "/.well-known" or path.startswith("/.well-known/"):
        return None
    if path.endswith("/") and stem and ending.isascii() and ending.replace("_", "a").isalnum():
        return "/" + path.strip("/")
    return None if path.endswith("/") or dot else "/" + path.strip("/") + "/"
