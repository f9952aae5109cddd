"""`_headers`, Netlify's and Cloudflare's: a path on a line of its own, then `Name: value` lines.

Netlify: packages/headers-parser of netlify/build. Cloudflare: parseHeaders.ts and rules-engine.ts of workers-sdk.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from scalemesh.core.manifest import Condition, HeaderChange, HeaderRule
from scalemesh.rules.complaints import BadRule, Complaints
from scalemesh.rules.limits import MAX_HEADERS_A_RULE, check_header, check_length
from scalemesh.rules.pathexp import escape
from scalemesh.rules.selectors import dynamic, exact, named, split_host

CLOUDFLARE_MAX_RULES = 100
CLOUDFLARE_MAX_CHARS = 2000
_PLACEHOLDER = re.compile(r":([A-Za-z]\w*)")
_PATH = re.compile(r"/|[A-Za-z][\w+.-]*://")
_VARIABLE = re.compile(r"\*|" + _PLACEHOLDER.pattern)
T = TypeVar("T", str, str | None)
Pair = tuple[str, str | None]  # without a value the header is taken away


def parse_netlify(text: str, complaints: Complaints) -> list[HeaderRule]:
    found = []
    for line, path, pairs in _blocks(text, complaints, _pair):
        with complaints.about(line):
            listed = [(name, netlify_value(value)) for name, value in pairs]
            found.append(netlify_rule(path, listed, {"source": complaints.file, "line": line}))
    return found


def parse_cloudflare(text: str, complaints: Complaints) -> list[HeaderRule]:
    """Of rules for the same path the last one counts, in the first one's place."""
    found: dict[str, HeaderRule] = {}
    for line, path, pairs in _blocks(text, complaints, _cloudflare_pair, max_chars=CLOUDFLARE_MAX_CHARS):
        if len(found) == CLOUDFLARE_MAX_RULES:
            complaints.add(line, f"more than {CLOUDFLARE_MAX_RULES} rules: this one and those below are left out")
            break
        with complaints.about(line):
            found[path] = _cloudflare_rule(path, pairs, {"source": complaints.file, "line": line})
    return list(found.values())


def netlify_value(text: str) -> str:
    """One line, with one space behind each comma."""
    return re.sub(r"[ \t]*[\r\n]+[ \t]*", " ", re.sub(r"\s*,\s*", ", ", text.strip()))


def netlify_rule(path: str, pairs: Iterable[tuple[str, str]], place: dict[str, Any]) -> HeaderRule:
    check_length(path, "the path")
    if not path.startswith("/") and _PATH.match(path):
        raise BadRule("a path begins with `/` (hosts are not supported)")
    values = _joined(pairs)
    if "basic-auth" in values:
        raise BadRule("`Basic-Auth` is not supported: this path asks for no password")
    changes = [HeaderChange(name=name, value=[value]) for name, value in values.items()]
    return HeaderRule(**place, **_netlify_selector(path), ignore_case=True, headers=_some(changes))


def _netlify_selector(path: str) -> dict[str, Any]:
    """`:x` is one segment, `*` anything; a segment that is `*` may be missing with its slash."""
    segments = [segment.rstrip() for segment in path.strip().split("/") if segment.strip()]
    bare = "".join(f"/{segment}" for segment in segments)
    if "*" not in bare and "/:" not in bare:
        return exact(*dict.fromkeys((bare or "/", bare + "/")))
    regex = ""
    for segment in segments:
        if segment == "*":
            regex += "/?(?:.*)"
        elif segment.startswith(":"):
            regex += "/[^/]+"
        else:
            regex += "/" + ".*".join(escape(part) for part in segment.split("*"))
    return dynamic(regex + "/?", ignore_case=True)


def _cloudflare_rule(source: str, pairs: list[Pair], place: dict[str, Any]) -> HeaderRule:
    if source.count("*") > 1:
        raise BadRule("one `*` at most")
    host, path = split_host(source)
    if not path.startswith("/") or (host and (":" in _PLACEHOLDER.sub("", host) or not source.startswith("https"))):
        raise BadRule("a path begins with `/`, or with a host as in `https://host/…`, without a port")
    path = re.split(r"[?#]", path)[0]
    selector, groups = cloudflare_selector(path)
    has, names = _cloudflare_host(host)
    if names.keys() & set(groups):
        raise BadRule("two placeholders have the same name")
    changes = [HeaderChange(name=name.lower(), change="unset") for name, value in pairs if value is None]
    kept = _joined((name, value) for name, value in pairs if value is not None)
    changes += [
        HeaderChange(name=name, value=named(value, groups, names), change="append") for name, value in kept.items()
    ]
    return HeaderRule(**place, **selector, has=has, headers=_some(changes))


def _cloudflare_host(host: str) -> tuple[list[Condition], dict[str, str]]:
    """The condition on the host, and the names that it gives values to."""
    regex, names, at = "", {}, 0
    for match in _VARIABLE.finditer(host):
        name = match[1] or "splat"
        names[name] = name
        regex += escape(host[at : match.start()]) + f"(?P<{name}>{'[^/.]+' if match[1] else '.*'})"
        at = match.end()
    regex += escape(host[at:])
    dynamic(regex)
    return [Condition(kind="host", pattern=regex)] if host else [], names


def cloudflare_selector(path: str) -> tuple[dict[str, Any], list[str]]:
    """`*` → `splat`, `:name` → one segment; what it matches and the names of its groups."""
    check_length(path, "the path")
    names = [match[1] or "splat" for match in _VARIABLE.finditer(path)]
    if not names:
        return exact(path), []
    if len(set(names)) != len(names):
        raise BadRule("two placeholders have the same name (that of `*` is `:splat`)")
    regex, at = "", 0
    for match in _VARIABLE.finditer(path):
        regex += escape(path[at : match.start()]) + ("([^/]+)" if match[1] else "(.*)")
        at = match.end()
    return dynamic(regex + escape(path[at:])), names


def _blocks(
    text: str, complaints: Complaints, read: Callable[[str], tuple[str, T]], *, max_chars: int | None = None
) -> list[tuple[int, str, list[tuple[str, T]]]]:
    """Each path with its line and its headers."""
    found: list[tuple[int, str, list[tuple[str, T]]]] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if max_chars is not None and len(line) > max_chars:
            complaints.add(number, f"a line is longer than {max_chars} characters")
        elif _PATH.match(line):
            found.append((number, line, []))
        elif not found:
            complaints.add(number, "a header before the first path: a path begins with `/`")
        else:
            with complaints.about(number):
                found[-1][2].append(read(line))
    return found


def _pair(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon or not value.strip():
        raise BadRule(f"`{line[:80]}` is not `Name: value`")
    check_header(name.strip(), value.strip())
    return name.strip(), value.strip()


def _cloudflare_pair(line: str) -> Pair:
    if not line.startswith("! "):
        return _pair(line)
    check_header(line[2:].strip())
    return line[2:].strip(), None


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """A repeated name's values, joined by commas; names in lower case."""
    joined: dict[str, str] = {}
    for name, value in pairs:
        key = name.lower()
        joined[key] = f"{joined[key]}, {value}" if key in joined else value
        check_header(name, joined[key])
    return joined


def _some(changes: list[HeaderChange]) -> list[HeaderChange]:
    if not changes:
        raise BadRule("a path without headers")
    if len(changes) > MAX_HEADERS_A_RULE:
        raise BadRule(f"more than {MAX_HEADERS_A_RULE} headers")
    return changes
