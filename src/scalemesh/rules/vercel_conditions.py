"""`has` and `missing` of vercel.json (https://vercel.com/docs/project-configuration#rewrites-object-definition)."""

from typing import Any, Literal, cast

from scalemesh.core.manifest import Condition
from scalemesh.rules.complaints import BadRule
from scalemesh.rules.limits import MAX_CONDITIONS, check_length
from scalemesh.rules.pathexp import escape
from scalemesh.rules.patterns import compiled

_Number = Literal["gt", "gte", "lt", "lte"]
_NUMBERS = frozenset({"gt", "gte", "lt", "lte"})


def conditions(value: object, what: str) -> list[Condition]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise BadRule(f"`{what}` must be a list of objects")
    if len(value) > MAX_CONDITIONS:
        raise BadRule(f"`{what}` has more than {MAX_CONDITIONS} conditions")
    return [made for item in value for made in _condition(item, what)]


def group_names(found: list[Condition]) -> list[str]:
    """The values that conditions give: named groups, and the whole value, by key, where none was asked for."""
    names: list[str] = []
    for condition in found:
        if condition.pattern is not None and not condition.negated:
            names += compiled(condition.pattern).groupindex
            names += ["host"] if condition.kind == "host" else []
        elif condition.pattern is None and not condition.compare and condition.key.isidentifier():
            names.append(condition.key)
    return names


def _condition(item: dict[str, Any], what: str) -> list[Condition]:
    kind, key, value = item.get("type"), item.get("key", ""), item.get("value")
    if kind not in {"host", "header", "cookie", "query"}:
        raise BadRule(f"`{what}`: the type {kind!r} is not host, header, cookie or query")
    if not isinstance(key, str) or (kind != "host" and not key):
        raise BadRule(f"`{what}`: `key` must be a string")
    base = {"kind": kind, "key": key.lower() if kind == "header" else key}
    if value is None:
        return [Condition(**base)]
    if isinstance(value, str):
        return [_with_pattern(base, value)]
    if not isinstance(value, dict) or not value:
        raise BadRule(f'`{what}`: `value` must be a string or an object like {{"eq": …}}')
    return [_operator(base, name, operand, what) for name, operand in value.items()]


def _operator(base: dict[str, Any], name: str, operand: object, what: str) -> Condition:
    if name in _NUMBERS and isinstance(operand, int | float) and not isinstance(operand, bool):
        return Condition(**base, compare=cast("_Number", name), number=float(operand))
    if name in {"eq", "neq"} and isinstance(operand, str | int | float):
        return _with_pattern(base, escape(str(operand)), negated=name == "neq")
    if name in {"inc", "ninc"} and isinstance(operand, list) and operand:
        return _with_pattern(base, "|".join(escape(str(each)) for each in operand), negated=name == "ninc")
    if isinstance(operand, str) and name in {"pre", "suf", "re"}:
        text = escape(operand)
        return _with_pattern(base, {"pre": f"{text}(?s:.*)", "suf": f"(?s:.*){text}", "re": operand}[name])
    raise BadRule(f"`{what}`: the operator {name!r} with {operand!r} is not known")


def _with_pattern(base: dict[str, Any], pattern: str, *, negated: bool = False) -> Condition:
    compiled(check_length(pattern, "a condition"))
    return Condition(**base, pattern=pattern, negated=negated)
