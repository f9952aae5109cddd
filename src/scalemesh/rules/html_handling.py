"""Cloudflare's html_handling: each page has one address (workers-sdk, packages/workers-shared, handler.ts).

`trailing_slash` is the mode: None `auto-trailing-slash`, False drops it, True forces it. Without `canonical` (`none`) a
file is served at its own path alone.
"""

from collections.abc import Callable, Iterator

from scalemesh.core.manifest import Entry, Rules

Lookup = Callable[[str], Entry | None]
_FORMS = ("/index.html", "/index", "/", ".html")


def find(path: str, lookup: Lookup, rules: Rules) -> str | None:
    """The file that a path leads to, by a redirect or without one."""
    if lookup(path) is not None:
        return path
    pages = (page for page in _pages(path, rules) if lookup(page) is not None)
    return next((page for page in pages if address(page, lookup, rules) != page), None)


def is_pages(rules: Rules) -> bool:
    """Cloudflare Pages, not a Worker: their redirects differ in the status."""
    return rules.flavour == "cloudflare" and rules.canonical_status == 308


def without_index(path: str, lookup: Lookup) -> str | None:
    """Cloudflare Pages: `/a/index` is `/a/`, also where nothing is there; None: the path has no such end."""
    bare = path.removesuffix("/")
    if not bare.endswith("/index") or lookup(path if path == bare else path + "index.html") is not None:
        return None
    return "/" + bare.removesuffix("index").lstrip("/\\")


def address(file: str, lookup: Lookup, rules: Rules) -> str:
    """The path at which a file is served; its own where another file takes the shorter one."""
    if not rules.canonical or not file.endswith(".html"):
        return file
    if file.endswith("/index.html"):
        folder = file.removesuffix("index.html")
        if rules.trailing_slash is not False or folder == "/":
            return folder
        short = folder[:-1]
        others = [short, short + ".html"]
    else:
        bare = file.removesuffix(".html")
        short = bare + "/" if rules.trailing_slash else bare
        others = [bare + "/index.html" if rules.trailing_slash else bare]
    return file if any(lookup(other) is not None for other in others) else short


def _pages(path: str, rules: Rules) -> Iterator[str]:
    form = next((form for form in _FORMS if path.endswith(form)), "")
    for bare in dict.fromkeys((path.removesuffix(form), path)):
        pages = (bare + ".html", bare + "/index.html")
        index_first = rules.trailing_slash or (rules.trailing_slash is None and bare != path)
        yield from reversed(pages) if index_first else pages
