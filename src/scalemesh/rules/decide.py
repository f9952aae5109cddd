"""From a request and rules to a Decision, without touching a file.

Order: a site's canonical form of the path (Vercel's cleanUrls and trailingSlash), then rules in their order (redirects
before files, the rest only where there is none), then files as the flavour looks for them, the fallback, and the
nearest 404.html up the tree. Header rules are added to whatever is served, on Cloudflare to redirects, too.
"""

from collections.abc import Callable
from urllib.parse import parse_qsl, quote, urlencode

import msgspec

from scalemesh.core.decision import Decision, Matched
from scalemesh.core.manifest import Entry, Rule, Rules
from scalemesh.rules.files import find, other_form
from scalemesh.rules.html_handling import is_pages
from scalemesh.rules.matching import Ready, Request, Values
from scalemesh.rules.templates import PATH_SAFE, file_path, header_value, is_absolute, location

Lookup = Callable[[str], Entry | None]

ALLOW = "GET, HEAD, OPTIONS"


def decide(request: Request, lookup: Lookup, ready: Ready) -> Decision:
    """What answers `request`. `lookup` gives the manifest's entry of exactly that path, or None."""
    rules = ready.rules
    if request.method not in {"GET", "HEAD"}:
        return _other_method(request, lookup, ready)
    if rules.flavour != "cloudflare" and (moved := _canonical(request, lookup, rules)):
        return moved
    if not ready.plain and (ruled := _by_rules(request, lookup, ready)):
        return _with_headers(ruled, request, ready)
    if rules.flavour == "cloudflare" and (moved := _canonical(request, lookup, rules)):
        return _with_headers(moved, request, ready)
    return _with_headers(_by_files(request.path, lookup, rules), request, ready)


def _other_method(request: Request, lookup: Lookup, ready: Ready) -> Decision:
    """Redirects and other sites take every method; nothing else is there to be changed."""
    ruled = None if ready.plain else _by_rules(request, lookup, ready)
    if ruled is not None and ruled.proxy_to is not None:
        return _with_headers(ruled, request, ready)
    if request.method == "OPTIONS":
        return Decision(status=204, headers=[("allow", ALLOW)])
    if ruled is not None and ruled.location is not None:
        return ruled
    return Decision(status=405, headers=[("allow", ALLOW)])


def _canonical(request: Request, lookup: Lookup, rules: Rules) -> Decision | None:
    other = other_form(request.path, lookup, rules)
    if other is None:
        return None
    query = f"?{quote(request.query, safe=_QUERY_SAFE)}" if request.query else ""
    return Decision(status=rules.canonical_status, location=quote(other, safe=PATH_SAFE) + query)


_QUERY_SAFE = PATH_SAFE + "?%"


def _by_files(path: str, lookup: Lookup, rules: Rules) -> Decision:
    if (found := find(path, lookup, rules)) is not None:
        return Decision(status=200, file=found)
    missing = _nearest_404(path, lookup)
    falls_back = rules.fallback is not None and lookup(rules.fallback) is not None
    if falls_back and (missing is None or not is_pages(rules)):
        return Decision(status=200, file=rules.fallback)
    return Decision(status=404, file=missing)


def _by_rules(request: Request, lookup: Lookup, ready: Ready) -> Decision | None:
    """What the first rule that applies says; None where a file, or nothing, is to answer."""
    there: bool | None = None
    for rule, values in ready.table.matches(request):
        if not rule.force:
            there = find(request.path, lookup, ready.rules) is not None if there is None else there
            if there:
                return None
        decided = _by_rule(rule, values, request, lookup, ready.rules)
        if decided is not None:
            return decided
    return None


def _by_rule(rule: Rule, values: Values, request: Request, lookup: Lookup, rules: Rules) -> Decision | None:
    matched = [Matched(source=rule.source, line=rule.line)]
    if 300 <= rule.status < 400:
        target = _redirect(rule, values, request, rules)
        return None if target is None else Decision(status=rule.status, location=target, matched=matched)
    if is_absolute(rule.to):
        address = _address(rule, values, request, rules)
        if address is None:
            return None
        return Decision(status=200, proxy_to=address, proxy_headers=rule.proxy_headers, matched=matched)
    path = file_path(rule.to, values) if rule.to else request.path
    found = find(path, lookup, rules)
    if found is not None:
        return Decision(status=rule.status, file=found, matched=matched)
    if rule.status != 200:
        return Decision(status=rule.status, file=_nearest_404(path, lookup), matched=matched)
    if rules.flavour == "vercel":
        return None  # `check: true`: a rewrite to nothing is passed over
    missed = _by_files(path, lookup, rules)
    return Decision(status=missed.status, file=missed.file, matched=matched)


def _redirect(rule: Rule, values: Values, request: Request, rules: Rules) -> str | None:
    """None where the redirect would lead to the very same request, or a value does not fit."""
    made = location(rule.to, values)
    if made is None:
        return None
    made, hash_sign, fragment = made.partition("#")
    address, query = _with_query(made, request, rules)
    if not is_absolute(rule.to) and (address, query) == (quote(request.path, safe=PATH_SAFE), request.query):
        return None
    return address + (f"?{query}" if query else "") + hash_sign + fragment


def _address(rule: Rule, values: Values, request: Request, rules: Rules) -> str | None:
    """Where another site is asked; None where a value does not fit."""
    made = location(rule.to, values)
    if made is None:
        return None
    address, query = _with_query(made.partition("#")[0], request, rules)
    return address + (f"?{query}" if query else "")


def _with_query(made: str, request: Request, rules: Rules) -> tuple[str, str]:
    address, _, query = made.partition("?")
    return address, _merged(query, request.query, rules)


def _merged(own: str, asked: str, rules: Rules) -> str:
    """Vercel lays the request's query over the destination's; the others keep it only where the target has none."""
    asked = quote(asked, safe=_QUERY_SAFE)
    if not own or not asked:
        return own or asked
    if rules.flavour != "vercel":
        return own
    over = parse_qsl(asked[:8192], keep_blank_values=True)
    names = {name for name, _ in over}
    return urlencode([*((k, v) for k, v in parse_qsl(own, keep_blank_values=True) if k not in names), *over])


def _with_headers(decision: Decision, request: Request, ready: Ready) -> Decision:
    if decision.location is not None and ready.rules.flavour != "cloudflare":
        return decision
    headers: dict[str, str] = {}
    without: set[str] = set()
    matched = list(decision.matched)
    for rule, values in ready.headers.matches(request):
        matched.append(Matched(source=rule.source, line=rule.line))
        for change in rule.headers:
            name = change.name.lower()
            if change.change == "unset":
                headers.pop(name, None)
                without.add(name)
                continue
            value = header_value(change.value, values)
            appended = change.change == "append" and name in headers
            headers[name] = f"{headers[name]}, {value}" if appended else value
            without.discard(name)
    if decision.location is not None:
        headers.pop("cache-control", None)  # the edge's own
    elif decision.status == 404 and is_pages(ready.rules):
        headers["cache-control"] = "no-store"
    return msgspec.structs.replace(
        decision, headers=list(headers.items()), without=sorted(without - {*headers}), matched=matched
    )


def _nearest_404(path: str, lookup: Lookup) -> str | None:
    folder = path
    while folder:
        folder = folder.rpartition("/")[0]
        if lookup(f"{folder}/404.html") is not None:
            return f"{folder}/404.html"
    return None
