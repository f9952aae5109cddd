"""Legacy `routes` of vercel.json, as far as static files go: src, dest, status, headers, continue, has, handle.

`src` is a regular expression for the whole path, regardless of case; `$1` and `$name` stand for its groups. What comes
before the first `{"handle": …}` goes before files; the phases after it are one here, but for the status in `error`.
"""

import re
from typing import Any

from scalemesh.core.manifest import HeaderChange, HeaderRule, Rule, Template
from scalemesh.rules.complaints import BadRule, Complaints
from scalemesh.rules.json_lines import Lined
from scalemesh.rules.limits import MAX_RULES, REDIRECTS, check_header, check_length, check_status
from scalemesh.rules.patterns import compiled
from scalemesh.rules.selectors import check_proxied, destination, dynamic
from scalemesh.rules.vercel_conditions import conditions

MAX_HEADERS = 100
_GROUP = re.compile(r"\$(?:(\d{1,2})|([A-Za-z]\w*)|\{([A-Za-z]\w*)\})")
_ALIASES = {"source": "src", "destination": "dest", "statusCode": "status"}
_PHASES = ("filesystem", "rewrite", "miss", "resource", "error")
_KNOWN = {"src", "dest", "status", "headers", "continue", "has", "missing", "check", "caseSensitive", "handle"}


def parse_routes(lined: Lined, complaints: Complaints) -> tuple[list[Rule], list[HeaderRule]]:
    rules: list[Rule] = []
    headers: list[HeaderRule] = []
    routes = lined.values["routes"]
    if not isinstance(routes, list) or len(routes) > MAX_RULES:
        complaints.add(lined.line("routes"), f"`routes` must be a list of at most {MAX_RULES}")
        return [], []
    phase = ""
    for index, route in enumerate(routes):
        line = lined.line("routes", index)
        with complaints.about(line):
            if not isinstance(route, dict):
                raise BadRule("a route must be an object")
            if "handle" in route:
                phase = _phase(route["handle"])
                continue
            _route(_unaliased(route), {"source": complaints.file, "line": line}, rules, headers, phase)
    return rules, headers


def _phase(handle: object) -> str:
    if handle not in _PHASES:
        raise BadRule(f"`handle`: {handle!r} is not supported; {', '.join(_PHASES)} are")
    return str(handle)


def _unaliased(route: dict[str, Any]) -> dict[str, Any]:
    """With the older names of its keys."""
    for name, older in _ALIASES.items():
        if name in route and older in route:
            raise BadRule(f"`{older}` and `{name}` are the same: give one")
    return {_ALIASES.get(name, name): value for name, value in route.items()}


def _route(
    route: dict[str, Any], place: dict[str, Any], rules: list[Rule], headers: list[HeaderRule], phase: str
) -> None:
    if unknown := sorted(set(route) - _KNOWN):
        raise BadRule(f"`{unknown[0]}` is not supported for a static site")
    selector = _selector(route)
    names: dict[str, int] = compiled(selector["pattern"]).groupindex
    given = _headers(route.get("headers"))
    moved = next((given.pop(name) for name in list(given) if name.lower() == "location"), None)
    usual = 302 if moved else 404 if phase == "error" else 200
    to, status = route.get("dest", moved), route.get("status", usual)
    if to is not None and route.get("continue"):
        raise BadRule("a destination is not supported together with `continue`: write it where it is used")
    if given:
        changes = [HeaderChange(name=name, value=_template(value, names)) for name, value in given.items()]
        for change in changes:
            check_header(change.name, "".join(change.value))
        headers.append(HeaderRule(**place, **selector, headers=changes))
    if route.get("continue") or (to is None and "status" not in route):
        return
    check_status(status)
    if to is None and status in REDIRECTS:
        raise BadRule('a redirect needs `headers: {"Location": …}` or `dest`')
    if not (to is None or isinstance(to, str)):
        raise BadRule("`dest` must be a string")
    template = [] if to is None else _destination(to, names)
    check_proxied(template, status)
    rules.append(Rule(**place, **selector, status=status, to=template, force=not phase))


def _selector(route: dict[str, Any]) -> dict[str, Any]:
    src = route.get("src")
    if not isinstance(src, str):
        raise BadRule("`src` must be a string")
    ignore_case = not route.get("caseSensitive", False)
    bare = check_length(src, "`src`").removeprefix("^")
    bare = bare if bare.endswith("\\$") else bare.removesuffix("$")
    bare = bare if bare.startswith(("/", "(", ".")) else "/" + bare
    return dynamic(bare, ignore_case=ignore_case) | {
        "ignore_case": ignore_case,
        "has": conditions(route.get("has"), "has"),
        "missing": conditions(route.get("missing"), "missing"),
    }


def _destination(text: str, names: dict[str, int]) -> Template:
    if not text.startswith(("/", "http://", "https://", "$")):
        text = "/" + text
    return destination(_template(text, names))


def _template(text: str, names: dict[str, int]) -> Template:
    template: Template = [""]
    at = 0
    for match in _GROUP.finditer(text):
        name = match[2] or match[3]
        reference = match[1] or (str(names[name]) if name in names else None)
        if reference is not None:
            template[-1] += text[at : match.start()]
            template += [reference, ""]
            at = match.end()
    template[-1] += text[at:]
    return template


def _headers(value: object) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise BadRule("`headers` must be an object of strings")
    if len(value) > MAX_HEADERS:
        raise BadRule(f"more than {MAX_HEADERS} headers")
    return dict(value)
