"""vercel.json: redirects, rewrites, headers, cleanUrls, trailingSlash; `routes` are in vercel_routes.

vercel/vercel, packages/routing-utils/src/superstatic.ts. Sources are path-to-regexp 6.1.0, regardless of case; a
redirect goes before files, a rewrite after them; all header rules that match apply.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from scalemesh.core.manifest import Condition, HeaderChange, HeaderRule, Rule, Template
from scalemesh.rules import pathexp
from scalemesh.rules.complaints import BadRule, Complaints
from scalemesh.rules.json_lines import Lined
from scalemesh.rules.limits import (
    MAX_HEADERS_A_RULE,
    MAX_RULES,
    REDIRECTS,
    check_header,
    check_length,
    check_status,
)
from scalemesh.rules.patterns import compiled
from scalemesh.rules.selectors import check_proxied, destination, dynamic, exact
from scalemesh.rules.templates import is_absolute
from scalemesh.rules.vercel_conditions import conditions, group_names
from scalemesh.rules.vercel_routes import parse_routes

T = TypeVar("T")
Place = dict[str, Any]

_EXCLUSIVE = ("cleanUrls", "trailingSlash", "redirects", "headers", "rewrites")
_SELECTING = {"source", "has", "missing"}
_KEYS = {  # those of its schema that mean something, or nothing at all, for a static site
    "redirects": _SELECTING | {"destination", "permanent", "statusCode", "env"},
    "rewrites": _SELECTING | {"destination", "statusCode", "env", "respectOriginCacheControl"},
    "headers": _SELECTING | {"headers"},
}
_GROUP = re.compile(r"\$(?P<group>\d{1,2}|[A-Za-z]\w*)")
_PARAMETER = re.compile(r"(?:\{:(?P<braced>[A-Za-z_]\w*)\}|:(?P<name>[A-Za-z_]\w*))[*+?]?|" + _GROUP.pattern)
_AUTHORITY = re.compile(r"(https?://)([^/?#]*)", re.IGNORECASE)


@dataclass
class VercelRules:
    rules: list[Rule] = field(default_factory=list)
    headers: list[HeaderRule] = field(default_factory=list)
    clean_urls: bool = False
    trailing_slash: bool | None = None


def parse(text: str, complaints: Complaints) -> VercelRules:
    lined = Lined(text)
    found = VercelRules()
    try:
        lined.place_items()
    except BadRule as problem:
        place = re.search(r"line (\d+) column", str(problem))
        complaints.add(int(place[1]) if place else 1, str(problem))
        return found
    found.clean_urls = _flag(lined, "cleanUrls", complaints) or False
    found.trailing_slash = _flag(lined, "trailingSlash", complaints)
    if "routes" in lined.values:
        both = [key for key in _EXCLUSIVE if key in lined.values]
        if both:
            complaints.add(lined.line("routes"), f"`routes` cannot be used with {', '.join(both)}: it is left out")
        else:
            found.rules, found.headers = parse_routes(lined, complaints)
            return found
    found.rules = [*_each(lined, "redirects", complaints, _redirect), *_each(lined, "rewrites", complaints, _rewrite)]
    found.headers = list(_each(lined, "headers", complaints, _headers))
    return found


def _flag(lined: Lined, key: str, complaints: Complaints) -> bool | None:
    value = lined.values.get(key)
    if value is None or isinstance(value, bool):
        return value
    complaints.add(lined.line(key), f"`{key}` must be true or false")
    return None


def _each(lined: Lined, key: str, complaints: Complaints, make: Callable[[dict[str, Any], Place], T]) -> Iterator[T]:
    items = lined.values.get(key, [])
    if not isinstance(items, list):
        complaints.add(lined.line(key), f"`{key}` must be a list")
        return
    if len(items) > MAX_RULES:
        complaints.add(lined.line(key, MAX_RULES), f"more than {MAX_RULES} {key}: those from here on are left out")
    for index, item in enumerate(items[:MAX_RULES]):
        line = lined.line(key, index)
        with complaints.about(line):
            if not isinstance(item, dict):
                raise BadRule(f"an item of `{key}` must be an object")
            if unknown := sorted(item.keys() - _KEYS[key]):
                raise BadRule(f"`{unknown[0]}` is not supported in `{key}`")
            yield make(item, {"source": complaints.file, "line": line})


def _redirect(item: dict[str, Any], place: Place) -> Rule:
    permanent, status = item.get("permanent"), item.get("statusCode")
    if permanent is not None and status is not None:
        raise BadRule("`permanent` and `statusCode` cannot be used together")
    if permanent not in {None, True, False}:
        raise BadRule("`permanent` must be true or false")
    if status is None:
        status = 307 if permanent is False else 308
    if not isinstance(status, int) or status not in REDIRECTS:
        raise BadRule(f"`statusCode` {status!r} is not a redirect ({', '.join(map(str, sorted(REDIRECTS)))})")
    selector, groups = _selector(item)
    to = destination(_destination(_string(item, "destination"), groups, group_names(selector["has"])))
    return Rule(**place, **selector, status=status, to=to, force=True)


def _rewrite(item: dict[str, Any], place: Place) -> Rule:
    selector, groups = _selector(item)
    named = group_names(selector["has"])
    text = _string(item, "destination")
    to = destination(_destination(text, groups, named))
    status = check_status(item.get("statusCode", 200))
    if status in REDIRECTS:
        raise BadRule(f"`statusCode` {status} is for `redirects`")
    check_proxied(to, status)
    if is_absolute(to) and not _uses_names(text, {*groups, *named}):
        to = _with_parameters(_destination(text.partition("#")[0], groups, named), groups, named)
    return Rule(**place, **selector, status=status, to=to)


def _uses_names(text: str, known: set[str]) -> bool:
    """Whether a destination names a parameter elsewhere than in its query; `$1` is no name."""
    address = re.sub(r"\?[^#]*", "", text)
    return any((match["braced"] or match["name"]) in known for match in _PARAMETER.finditer(address))


def _with_parameters(template: Template, groups: list[str], named: list[str]) -> Template:
    """A proxied rewrite that names no parameter in its host or path gets all of them in its query."""
    _, asks, query = "".join(template[::2]).partition("?")
    own = {name for name, _ in parse_qsl(query, keep_blank_values=True)}
    extended = list(template)
    separator = "&" if asks else "?"
    for name in dict.fromkeys((*named, *(name for name in groups if not name.isdigit()))):
        if name not in own:
            extended[-1] += f"{separator}{name}="
            extended += [_reference(name, groups, named), ""]
            separator = "&"
    return extended


def _headers(item: dict[str, Any], place: Place) -> HeaderRule:
    selector, groups = _selector(item)
    listed = item.get("headers")
    if not isinstance(listed, list) or not listed:
        raise BadRule("`headers` must be a list of `{key, value}`")
    if len(listed) > MAX_HEADERS_A_RULE:
        raise BadRule(f"more than {MAX_HEADERS_A_RULE} headers")
    changes = []
    for header in listed:
        if not isinstance(header, dict):
            raise BadRule("`headers` must be a list of `{key, value}`")
        name, value = _string(header, "key"), _string(header, "value")
        check_header(name, value)
        template = _filled(value, groups, group_names(selector["has"]), strict=False)
        changes.append(HeaderChange(name=name, value=template))
    return HeaderRule(**place, **selector, headers=changes)


def _selector(item: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    source = check_length(_string(item, "source"), "the source")
    tokens = pathexp.parse(source)
    has: list[Condition] = conditions(item.get("has"), "has")
    missing: list[Condition] = conditions(item.get("missing"), "missing")
    shared = {"has": has, "missing": missing, "ignore_case": True}
    if all(isinstance(token, str) for token in tokens):
        return exact("/" + "".join(map(str, tokens)).removeprefix("/")) | shared, []
    root = "" if source.startswith("/") else "/??"  # theirs is also tried against the path without its first slash
    matched = dynamic(root + pathexp.to_regex(tokens), ignore_case=True)
    if compiled(matched["pattern"]).fullmatch(""):
        matched["pattern"] = f"(?:{matched['pattern']}|/)"  # for the same reason `/:path*` is the root, too
    return matched | shared, pathexp.names(tokens)


def _destination(text: str, groups: list[str], named: list[str]) -> Template:
    """Path, query and fragment each are templates of path-to-regexp; so are the labels of a host."""
    head = _AUTHORITY.match(text)
    scheme, host = (head[1], head[2]) if head else ("", "")
    rest = text[head.end() :] if head else text
    path = re.split(r"[?#]", rest, maxsplit=1)[0]
    template = [scheme]
    template = _joined(template, _filled(host, groups, named, strict=True))
    template = _joined(template, _compiled(path, groups, named))
    return _joined(template, _filled(rest[len(path) :], groups, named, strict=True))


def _compiled(path: str, groups: list[str], named: list[str]) -> Template:
    template: Template = [""]
    for token in pathexp.parse(path):
        if isinstance(token, str):
            template = _joined(template, _filled(token, groups, named, strict=False, names=False))
        else:
            template[-1] += token.prefix
            template += [_reference(token.name, groups, named), token.suffix]
    return template


def _filled(text: str, groups: list[str], named: list[str], *, strict: bool, names: bool = True) -> Template:
    """`:name`, and `$1` and `$name`, which Vercel's router fills in. `strict`: a `:name` must be known."""
    template: Template = [""]
    at = 0
    for match in (_PARAMETER if names else _GROUP).finditer(text):
        if match["group"] is None:
            name = match["braced"] or match["name"]
            reference = _reference(name, groups, named) if strict or name in groups or name in named else None
        else:
            reference = _group(match["group"], groups, named)
        if reference is not None:
            template[-1] += text[at : match.start()]
            template += [reference, ""]
            at = match.end()
    template[-1] += text[at:]
    return template


def _group(name: str, groups: list[str], named: list[str]) -> str | None:
    if name.isdigit():
        return name if int(name) <= len(groups) else None
    return _reference(name, groups, named) if name in groups or name in named else None


def _reference(name: str, groups: list[str], named: list[str]) -> str:
    """A named group of `has` goes before a parameter of the path."""
    if name in named:
        return name
    if name in groups:
        return str(groups.index(name) + 1)
    raise BadRule(f"`:{name}` in the destination is in neither `source` nor `has`")


def _joined(first: Template, second: Template) -> Template:
    return [*first[:-1], first[-1] + second[0], *second[1:]]


def _string(item: dict[str, Any], key: str) -> str:
    value = item.get(key)
    if not isinstance(value, str) or not value:
        raise BadRule(f"`{key}` must be a string")
    return value
