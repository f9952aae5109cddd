"""From path and rules to a Decision, without touching a file.

Order, as Vercel's (https://vercel.com/docs/project-configuration): redirect, file, clean URL, index file, fallback,
nearest 404.html up the tree.
"""

from collections.abc import Callable, Iterator
from urllib.parse import quote

from scalemesh.core.decision import Decision
from scalemesh.core.manifest import Entry, Rules

Lookup = Callable[[str], Entry | None]

ALLOW = "GET, HEAD, OPTIONS"
_SAFE = "/:@!$&'()*+,;=~"  # RFC 3986 pchar, and the separators between segments


def decide(path: str, query: str, method: str, lookup: Lookup, rules: Rules) -> Decision:
    """What answers `path` (decoded, absolute). `lookup` gives the manifest's entry of exactly that path, or None."""
    if method not in {"GET", "HEAD"}:
        return Decision(status=204 if method == "OPTIONS" else 405, headers=[("allow", ALLOW)])
    if (location := _other_slash(path, rules)) is not None:
        return Decision(status=308, location=quote(location, safe=_SAFE) + (f"?{query}" if query else ""))
    for candidate in _candidates(path, rules):
        if lookup(candidate) is not None:
            return Decision(status=200, file=candidate)
    if rules.fallback is not None and lookup(rules.fallback) is not None:
        return Decision(status=200, file=rules.fallback)
    return Decision(status=404, file=_nearest_404(path, lookup))


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


def _other_slash(path: str, rules: Rules) -> str | None:
    """Where `trailing_slash` sends this path. Leading slashes collapse: `//evil.example/` must not leave the site."""
    if rules.trailing_slash is None or path == "/" or path.startswith("/.well-known/"):
        return None
    ends_with_slash = path.endswith("/")
    names_a_file = "." in path.rstrip("/").rpartition("/")[2]
    if ends_with_slash and (not rules.trailing_slash or names_a_file):
        return "/" + path.strip("/")
    if not ends_with_slash and rules.trailing_slash and not names_a_file:
        return "/" + path.strip("/") + "/"
    return None


def _nearest_404(path: str, lookup: Lookup) -> str | None:
    folder = path
    while folder:
        folder = folder.rpartition("/")[0]
        if lookup(f"{folder}/404.html") is not None:
            return f"{folder}/404.html"
    return None
