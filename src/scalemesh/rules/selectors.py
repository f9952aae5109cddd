"""The parts of rules that the parsers share: what a source matches, and templates with names in them."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from scalemesh.core.manifest import Template
from scalemesh.rules import lookahead
from scalemesh.rules.complaints import BadRule
from scalemesh.rules.limits import REDIRECTS, check_length
from scalemesh.rules.patterns import compiled, folded
from scalemesh.rules.templates import check_destination, is_absolute

_WITH_HOST = re.compile(r"https?://([^/?#]*)(.*)", re.IGNORECASE)


def exact(*paths: str) -> dict[str, Any]:
    return {"paths": [unicodedata.normalize("NFC", unquote(check_length(path, "the source"))) for path in paths]}


def dynamic(regex: str, *, ignore_case: bool = False) -> dict[str, Any]:
    """Raises BadRule if RE2 cannot run it."""
    pattern, unless = lookahead.split(regex)
    for each in (pattern, *unless):
        compiled(folded(each, ignore_case=ignore_case))
    return {"pattern": pattern, "unless": unless}


def split_host(source: str) -> tuple[str, str]:
    """The host and the path of a source; the host is empty where it is a path alone. Raises BadRule."""
    found = _WITH_HOST.fullmatch(source)
    if found is None:
        return "", source
    if not found[1]:
        raise BadRule("an address without a host")
    return found[1].lower(), found[2] or "/"


def destination(template: Template) -> Template:
    """Raises BadRule; whether the status goes with it is `check_proxied`'s to say."""
    check_length("".join(template), "the destination")
    check_destination(template)
    return template


def check_proxied(template: Template, status: int) -> None:
    """Another site is redirected to, or answers itself, with the status that it chooses."""
    if is_absolute(template) and status != 200 and status not in REDIRECTS:
        raise BadRule(f"a page of another site cannot be the answer to a {status}; use a path")


def named(text: str, groups: Sequence[str], extra: Mapping[str, str] = {}) -> Template:
    """`/news/:slug` with the groups' names → `["/news/", "1", ""]`; a name that is no group stays text. Names need no
    end: `:slug_` is `:slug` and `_`."""
    references = {name: str(groups.index(name) + 1) for name in groups} | dict(extra)
    if not references:
        return [text]
    longest_first = sorted(map(re.escape, references), key=len, reverse=True)
    parts = re.split(f":({'|'.join(longest_first)})", text)
    return [references[part] if at % 2 else part for at, part in enumerate(parts)]
