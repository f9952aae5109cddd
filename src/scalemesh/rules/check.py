"""Rules that somebody sent: they must be such as the parsers make."""

from collections.abc import Iterator

from scalemesh.core.manifest import HeaderRule, Rule, Rules, Selector
from scalemesh.rules.complaints import BadRule
from scalemesh.rules.limits import (
    MAX_CONDITIONS,
    MAX_HEADERS_A_RULE,
    MAX_PATH_CHARS,
    MAX_RULES,
    REDIRECTS,
    check_header,
    check_proxy_header,
    check_status,
)
from scalemesh.rules.patterns import compiled, folded
from scalemesh.rules.selectors import check_proxied, destination

_MAX_LISTED = 32  # paths, patterns and conditions of one rule


def fault(rules: Rules) -> tuple[str, str] | None:
    """The first thing that is wrong, as (where, what); None: they can be served."""
    place = "rules"
    try:
        if len(rules.rules) > 2 * MAX_RULES or len(rules.headers) > MAX_RULES:
            raise BadRule("too many rules")
        for where, selector in _all(rules):
            place = where
            _check_selector(selector)
            if isinstance(selector, Rule):
                _check_rule(selector)
            elif isinstance(selector, HeaderRule):
                _check_headers(selector)
    except BadRule as problem:
        return place, str(problem)
    return None


def _all(rules: Rules) -> Iterator[tuple[str, Selector]]:
    for index, rule in enumerate(rules.rules):
        yield f"rules.rules[{index}]", rule
    for index, header in enumerate(rules.headers):
        yield f"rules.headers[{index}]", header


def _check_selector(selector: Selector) -> None:
    if not selector.paths and selector.pattern is None:
        raise BadRule("it matches nothing")
    if len(selector.paths) > _MAX_LISTED or len(selector.unless) > _MAX_LISTED:
        raise BadRule("too many paths or patterns")
    if any(len(path) > MAX_PATH_CHARS for path in (*selector.paths, selector.source)):
        raise BadRule("a path is too long")
    for pattern in (selector.pattern, *selector.unless):
        if pattern is not None:
            compiled(folded(pattern, ignore_case=selector.ignore_case))
    conditions = [*selector.has, *selector.missing]
    if len(conditions) > 2 * _MAX_LISTED:
        raise BadRule(f"more than {MAX_CONDITIONS} conditions")
    for condition in conditions:
        if condition.pattern is not None:
            compiled(condition.pattern)


def _check_rule(rule: Rule) -> None:
    check_status(rule.status)
    if rule.status in REDIRECTS and not rule.to:
        raise BadRule("a redirect without a destination")
    if rule.to:
        check_proxied(destination(rule.to), rule.status)
    if len(rule.proxy_headers) > MAX_HEADERS_A_RULE:
        raise BadRule(f"more than {MAX_HEADERS_A_RULE} headers")
    for name, value in rule.proxy_headers:
        check_proxy_header(name, value)


def _check_headers(rule: HeaderRule) -> None:
    if len(rule.headers) > MAX_HEADERS_A_RULE:
        raise BadRule(f"more than {MAX_HEADERS_A_RULE} headers")
    for change in rule.headers:
        check_header(change.name, "".join(change.value[::2]))
