"""Cloudflare's `_redirects`: parseRedirects.ts and validateURL.ts of workers-sdk (packages/workers-shared).

302 unless a status is given; applied though a file is there; exact paths before patterns; the first of duplicates wins.
"""

import re

from scalemesh.core.manifest import Rule
from scalemesh.rules.complaints import BadRule, Complaints
from scalemesh.rules.headers_file import cloudflare_selector
from scalemesh.rules.limits import REDIRECTS
from scalemesh.rules.selectors import destination, named
from scalemesh.rules.templates import is_absolute

MAX_STATIC = 2000
MAX_DYNAMIC = 100
MAX_LINE_CHARS = 2000
_STATUSES = REDIRECTS | {200}
_COMMENT = re.compile(r"\s+#.*$")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_INTO_INDEX, _INDEX = re.compile(r"/\*?$"), re.compile(r"/index(\.html)?$")


def parse_redirects(text: str, complaints: Complaints, *, index_at_root: bool = True) -> list[Rule]:
    """`index_at_root`: `/` answers with the index by itself, so that a rule from there to the index goes in circles."""
    exact: dict[str, Rule] = {}
    patterns: dict[str, Rule] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        with complaints.about(number):
            source, rule = _line(line, complaints.file, number, index_at_root=index_at_root)
            if source in exact or source in patterns:
                raise BadRule(f"`{source}` was given above: the first one counts")
            # As there: once a pattern has been seen, all that follow count as dynamic.
            kind, most = (patterns, MAX_DYNAMIC) if patterns or rule.pattern is not None else (exact, MAX_STATIC)
            if len(kind) >= most:
                raise BadRule(f"more than {most} {'dynamic' if kind is patterns else 'static'} rules")
            kind[source] = rule
    return [*exact.values(), *patterns.values()]


def _line(line: str, file: str, number: int, *, index_at_root: bool) -> tuple[str, Rule]:
    if len(line) > MAX_LINE_CHARS:
        raise BadRule(f"a line is longer than {MAX_LINE_CHARS} characters")
    words = _COMMENT.sub("", line).split()
    if len(words) not in {2, 3}:
        raise BadRule(f"expected `from to [status]`, found {len(words)} words")
    source, to = _path(words[0]), words[1]
    status = _status(words[2]) if len(words) == 3 else 302
    if source.count("*") > 1:
        raise BadRule("one `*` at most")
    selector, groups = cloudflare_selector(source)
    template = destination(named(to, groups))
    if is_absolute(template) and not to.startswith("https://"):
        raise BadRule("another site is given as `https://…`")
    if status == 200 and is_absolute(template):
        raise BadRule("a 200 needs a path on this site (proxying is not supported)")
    if (
        _INTO_INDEX.search(source)
        and _INDEX.search(to)
        and not is_absolute(template)
        and (index_at_root or source != "/")
    ):
        raise BadRule("an endless loop: this is what a site without 404.html does by itself")
    return source, Rule(source=file, line=number, **selector, status=status, to=template, force=True)


def _path(word: str) -> str:
    """As there: what is no address is a path, and what it asks for besides its path counts for nothing."""
    if _ADDRESS.match(word):
        raise BadRule("a source is a path: it begins with `/`")
    return "/" + re.split(r"[?#]", word)[0].removeprefix("/")


def _status(word: str) -> int:
    if not word.isascii() or not word.isdigit() or int(word[:4]) not in _STATUSES:
        allowed = ", ".join(map(str, sorted(_STATUSES)))
        raise BadRule(f"`{word}` is not a status that is supported ({allowed})")
    return int(word)
