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


def parse_redirects(text: str, complaints: Complaints) -> list[Rule]:
    exact: dict[str, Rule] = {}
    patterns: dict[str, Rule] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        with complaints.about(number):
            source, rule = _line(line, complaints.file, number)
            if source in exact or source in patterns:
                raise BadRule(f"`{source}` was given above: the first one counts")
            # As there: once a pattern has been seen, all that follow count as dynamic.
            kind, most = (patterns, MAX_DYNAMIC) if patterns or rule.pattern is not None else (exact, MAX_STATIC)
            if len(kind) >= most:
                raise BadRule(f"more than {most} {'dynamic' if kind is patterns else 'static'} rules")
            kind[source] = rule
    return [*exact.values(), *patterns.values()]


def _line(line: str, file: str, number: int) -> tuple[str, Rule]:
    if len(line) > MAX_LINE_CHARS:
        raise BadRule(f"a line is longer than {MAX_LINE_CHARS} characters")
    words = _COMMENT.sub("", line).split()
    if len(words) not in {2, 3}:
        raise BadRule(f"expected `from to [status]`, found {len(words)} words")
    source, to = words[:2]
    status = _status(words[2]) if len(words) == 3 else 302
    if not source.startswith("/"):
        raise BadRule("a source is a path: it begins with `/`")
    if source.count("*") > 1:
        raise BadRule("one `*` at most")
    selector, groups = cloudflare_selector(source)
    template = destination(named(to, groups))
    if status == 200 and is_absolute(template):
        raise BadRule("a 200 needs a path on this site (proxying is not supported)")
    if source in {"/*", "/"} and status == 200 and re.fullmatch(r"/(index(\.html)?)?", to):
        raise BadRule("an endless loop: this is what a site without 404.html does by itself")
    return source, Rule(source=file, line=number, **selector, status=status, to=template, force=True)


def _status(word: str) -> int:
    if not word.isascii() or not word.isdigit() or int(word[:4]) not in _STATUSES:
        allowed = ", ".join(map(str, sorted(_STATUSES)))
        raise BadRule(f"`{word}` is not a status that is supported ({allowed})")
    return int(word)
