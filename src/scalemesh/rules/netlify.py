"""Netlify's `_redirects`, and `[[redirects]]` and `[[headers]]` of netlify.toml.

https://docs.netlify.com/routing/redirects/, packages/redirect-parser of netlify/build, and the matcher itself, which is
netlify-redirector on npm: 301 unless a status is given, a file wins unless the status ends in `!`, both forms of the
trailing slash match, the first match wins.
"""

import re
import tomllib
from typing import Any
from urllib.parse import unquote

import msgspec

from scalemesh.core.manifest import Condition, HeaderRule, Rule
from scalemesh.rules.complaints import BadRule, Complaints
from scalemesh.rules.headers_file import netlify_rule, netlify_value
from scalemesh.rules.limits import MAX_HEADERS_A_RULE, REDIRECTS, check_length, check_proxy_header, check_status
from scalemesh.rules.pathexp import escape
from scalemesh.rules.patterns import compiled
from scalemesh.rules.selectors import check_proxied, destination, dynamic, exact, named, split_host

_STATUS = re.compile(r"(\d{3})(!?)")
_NAME = re.compile(r":([A-Za-z_]\w*)")
_HOST = re.compile(r"[\w.-]+")
_TABLE = re.compile(r"[ \t]*\[\[[ \t]*(redirects|headers)[ \t]*\]\]")
_UNSUPPORTED = {"country", "role"}
_UNSIGNED = "`signed` is not supported: no edge knows a site's secrets, and unsigned the other site should not be asked"


def parse_redirects(text: str, complaints: Complaints) -> list[Rule]:
    rules = []
    for line, words in _lines(text):
        with complaints.about(line):
            rules.append(_line(words, complaints.file, line))
    return rules


def parse_toml(text: str, complaints: Complaints) -> tuple[list[Rule], list[HeaderRule]]:
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        found = re.search(r"at line (\d+)", str(error))
        complaints.add(int(found[1]) if found else 1, f"not valid TOML: {error}")
        return [], []
    rules, headers = [], []
    for line, table in _tables(document, text, "redirects", complaints):
        with complaints.about(line):
            rules.append(_table(table, complaints.file, line))
    for line, table in _tables(document, text, "headers", complaints):
        with complaints.about(line):
            headers.append(_header_table(table, complaints.file, line))
    return rules, headers


def _lines(text: str) -> list[tuple[int, list[str]]]:
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        comment = next((at for at, word in enumerate(words) if word.startswith("#")), len(words))
        if words[:comment]:
            found.append((number, words[:comment]))
    return found


def _line(words: list[str], file: str, line: int) -> Rule:
    """`from [query k=v …] to [status[!]] [Condition=a,b] [Signed=NAME]`."""
    source, rest = words[0], words[1:]
    query: dict[str, str] = {}
    while rest and not _is_destination(rest[0]) and not _STATUS.fullmatch(rest[0]):
        name, found, value = rest.pop(0).partition("=")
        if not found:
            raise BadRule(f"`{name}` is neither a destination (`/…` or `https://…`) nor a query parameter")
        query[name] = value
    to = rest.pop(0) if rest and _is_destination(rest[0]) else None
    status, force = None, False
    if rest and (match := _STATUS.fullmatch(rest[0])):
        status, force = int(match[1]), bool(match[2])
        rest.pop(0)
    elif rest:
        raise BadRule(f"`{rest[0]}` is not a status, which comes before conditions")
    conditions: dict[str, str] = {}
    for word in rest:
        name, found, value = word.partition("=")
        if not found:
            raise BadRule(f"`{word}` is not a condition")
        conditions[name] = value
    place = {"source": file, "line": line}
    return _rule(_from_root(source), to, status, query, conditions, force=force, place=place)


def _is_destination(word: str) -> bool:
    return word.startswith(("/", "http://", "https://"))


def _table(table: dict[str, Any], file: str, line: int) -> Rule:
    source, to = table.get("from", table.get("origin")), table.get("to", table.get("destination"))
    if not isinstance(source, str) or not (to is None or isinstance(to, str)):
        raise BadRule("a redirect needs `from` and `to`, both strings")
    status = table.get("status")
    if isinstance(status, str) and (match := _STATUS.fullmatch(status)):
        status = int(match[1])  # without a meaning for its `!` here: that is `force`
    if status is not None and (not isinstance(status, int) or isinstance(status, bool)):
        raise BadRule("`status` must be a number")
    if table.keys() & {"signed", "signing", "sign"}:
        raise BadRule(_UNSIGNED)
    query = _strings(table.get("query", table.get("params", table.get("parameters"))), "query")
    conditions = {
        name: ",".join(value) if isinstance(value, list) and all(isinstance(v, str) for v in value) else str(value)
        for name, value in _mapping(table.get("conditions"), "conditions").items()
    }
    force = bool(table.get("force", False))
    source, to = _from_root(source), to and _from_root(to)
    rule = _rule(source, to, status, query, conditions, force=force, place={"source": file, "line": line})
    sent = list(_strings(table.get("headers"), "headers").items())
    if len(sent) > MAX_HEADERS_A_RULE:
        raise BadRule(f"more than {MAX_HEADERS_A_RULE} headers")
    for name, value in sent:
        check_proxy_header(name, value)
    return msgspec.structs.replace(rule, proxy_headers=sent)


def _from_root(path: str) -> str:
    """The first `/` may be left out, in netlify.toml of a destination, too."""
    path = path.strip()
    return path if _is_destination(path) else "/" + path


def _rule(
    source: str,
    to: str | None,
    status: int | None,
    query: dict[str, str],
    conditions: dict[str, str],
    *,
    force: bool,
    place: dict[str, Any],
) -> Rule:
    host, source = split_host(source)
    if host and not _HOST.fullmatch(host):
        raise BadRule(f"`{host}` is not a host, written without a port")
    if "?" in source or "#" in source:
        raise BadRule("a source is a path alone; query parameters follow it: `id=:id`")
    if source.startswith("/.netlify"):
        raise BadRule("a source cannot begin with `/.netlify`")
    status = check_status(301 if status is None else status)
    if to is None:
        if status != 200 or not source.endswith("/*"):
            if status in REDIRECTS or status == 200:
                raise BadRule("a destination is missing")
            to = ""
        else:
            to = source[:-1] + ":splat"
    selector, groups = _selector(source)
    asked, values = _query(query, groups)
    has = [*([Condition(kind="host", pattern=escape(host))] if host else []), *asked, *_conditions(conditions)]
    template = destination(named(to, groups, values)) if to else []
    check_proxied(template, status)
    if to.startswith("/.netlify/"):
        raise BadRule(f"`{to}` is not there: functions and services of Netlify are not supported")
    if "splat" in groups and status in REDIRECTS:
        selector["unless"] += _arrived(selector["pattern"], to, host)
    return Rule(**place, **selector, has=has, status=status, to=template, force=force)


def _arrived(pattern: str, to: str, host: str) -> list[str]:
    """A redirect into its own source would go in circles: `/* /en/:splat` leaves alone whatever begins with `/en`."""
    other, path = split_host(to)
    path = unquote(re.split(r"/:splat(?=/.|$)", path)[0])
    into_itself = other in {"", host} and path and compiled(pattern).fullmatch(path)
    return [escape(path) + ".*"] if into_itself else []


def _selector(source: str) -> tuple[dict[str, Any], list[str]]:
    check_length(source, "the source")
    bare = source.rstrip("/") or "/"
    groups: list[str] = []
    segments = bare.split("/")[1:]
    if not any(segment.endswith("*") or (len(segment) > 1 and segment[0] == ":") for segment in segments):
        return exact(*dict.fromkeys((bare, bare.rstrip("/") + "/"))), groups
    regex = ""
    for segment in segments:
        if segment == "*":
            regex += "(?:/(.*))?"
            groups.append("splat")
        elif segment.endswith("*"):
            regex += f"/{_literal(segment[:-1])}/?(.*)"
            groups.append("splat")
        elif segment.startswith(":") and len(segment) > 1:
            regex += "/([^/]+)"
            groups.append(segment[1:])
        else:
            regex += f"/{_literal(segment)}"
    return dynamic(regex + ("" if bare.endswith("*") else "/?")), groups


def _literal(text: str) -> str:
    return escape(exact(text)["paths"][0])


def _query(query: dict[str, str], groups: list[str]) -> tuple[list[Condition], dict[str, str]]:
    """Each parameter must be there; `id=:id` takes its value for the destination, unless the path gives one."""
    conditions, values = [], {}
    for name, value in query.items():
        if match := _NAME.fullmatch(value):
            conditions.append(Condition(kind="query", key=name, pattern=f"(?P<{match[1]}>(?s).*)"))
            if match[1] not in groups:
                values[match[1]] = match[1]
        else:
            conditions.append(Condition(kind="query", key=name, pattern=escape(value)))
    for condition in conditions:
        dynamic(condition.pattern or "")
    return conditions, values


def _conditions(conditions: dict[str, str]) -> list[Condition]:
    found = []
    for name, value in conditions.items():
        kind = name.lower()
        if kind == "language":
            choices = "|".join(escape(choice.strip()) for choice in value.split(",") if choice.strip())
            pattern = rf"(?i)\s*(?:{choices})(?:[-,;].*)?"
            dynamic(pattern)
            found.append(Condition(kind="header", key="accept-language", pattern=pattern))
        elif kind == "cookie":
            choices = "|".join(escape(choice.strip()) for choice in value.split(",") if choice.strip())
            found.append(Condition(kind="header", key="cookie", pattern=rf"(?:.*;)?\s*(?:{choices})=.*"))
        else:
            if kind in {"signed", "sign"}:
                raise BadRule(_UNSIGNED)
            known = "is not supported: nothing here knows it" if kind in _UNSUPPORTED else "is unknown"
            raise BadRule(f"the condition `{name}` {known}")
    return found


def _header_table(table: dict[str, Any], file: str, line: int) -> HeaderRule:
    source = table.get("for")
    if not isinstance(source, str):
        raise BadRule("headers need `for`, a string")
    pairs = []
    for name, value in _mapping(table.get("values"), "values").items():
        values = value if isinstance(value, list) else [netlify_value(str(value))]
        pairs.append((name.strip(), ", ".join(" ".join(str(each).splitlines()).strip() for each in values)))
    return netlify_rule(source, pairs, {"source": file, "line": line})


def _tables(document: dict[str, Any], text: str, name: str, complaints: Complaints) -> list[tuple[int, dict[str, Any]]]:
    """The tables of one name, each with the line of its `[[name]]` (the first line where they were written inline)."""
    found = document.get(name, [])
    if not isinstance(found, list) or not all(isinstance(table, dict) for table in found):
        complaints.add(1, f"`{name}` must be a list of tables: write `[[{name}]]`")
        return []
    heads = (number for number, line in enumerate(text.splitlines(), 1) if (m := _TABLE.match(line)) and m[1] == name)
    lines = list(heads)
    return list(zip(lines if len(lines) == len(found) else [1] * len(found), found, strict=True))


def _mapping(value: object, what: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadRule(f"`{what}` must be a table")
    return value


def _strings(value: object, what: str) -> dict[str, str]:
    found = _mapping(value, what)
    if not all(isinstance(each, str) for each in found.values()):
        raise BadRule(f"`{what}` must hold strings")
    return found
