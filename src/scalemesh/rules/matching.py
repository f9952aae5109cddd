"""Rules ready for requests: exact paths in a table, patterns in one RE2 set, then each candidate looked at closely."""

import functools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl

import msgspec

from scalemesh.core.manifest import Condition, Rules, Selector
from scalemesh.rules.patterns import SET_BYTES, compiled, folded, options
from scalemesh.rules.templates import is_absolute

S = TypeVar("S", bound=Selector)
Values = Mapping[str, str]
_SET_MIN = 4  # fewer patterns are faster one by one
_MAX_COMPILED = 128  # kept at a time for one site: programs cost memory


class Request(msgspec.Struct, frozen=True, gc=False):
    """What rules see: `path` decoded and absolute, `query` as it came, `headers` by lower-case name."""

    path: str
    query: str = ""
    method: str = "GET"
    host: str = ""
    headers: Mapping[bytes, bytes] = {}

    def value(self, condition: Condition) -> str | None:
        if condition.kind == "host":
            return self.host
        if condition.kind == "header":
            found = self.headers.get(condition.key.lower().encode())
            return None if found is None else found.decode("latin-1")
        if condition.kind == "query":
            return _parameters(self.query).get(condition.key)
        return _cookies(self.headers.get(b"cookie", b"")).get(condition.key)


@functools.lru_cache(maxsize=16)  # many rules ask about one request
def _parameters(query: str) -> Values:
    """The first value of each."""
    return dict(reversed(parse_qsl(query, keep_blank_values=True)))


@functools.lru_cache(maxsize=16)
def _cookies(header: bytes) -> Values:
    pairs = (pair.strip().partition("=") for pair in header.decode("latin-1").split(";"))
    return {name: value for name, found, value in pairs if found}


class Table(Generic[S]):
    """The selectors of one kind. `matches` gives those that apply, in order, each with the values of its groups."""

    def __init__(self, selectors: Sequence[S]) -> None:
        self._selectors = selectors
        self._exact: dict[str, list[int]] = defaultdict(list)
        self._folded: dict[str, list[int]] = defaultdict(list)
        self._dynamic: list[int] = []
        self._compiled: dict[str, Any] = {}
        for index, selector in enumerate(selectors):
            if selector.pattern is not None:
                self._dynamic.append(index)
            for path in selector.paths:
                table, key = (self._folded, path.lower()) if selector.ignore_case else (self._exact, path)
                table[key].append(index)
        self._set = self._make_set() if len(self._dynamic) >= _SET_MIN else None

    def matches(self, request: Request) -> Iterator[tuple[S, Values]]:
        for index in self._candidates(request.path):
            selector = self._selectors[index]
            values = self._values(selector, request.path)
            if values is not None and self._hold(selector, request, values):
                yield selector, values

    def _candidates(self, path: str) -> list[int]:
        found = [*self._exact.get(path, ()), *(self._folded.get(path.lower(), ()) if self._folded else ())]
        return sorted({*found, *self._matching(path)}) if self._dynamic else sorted(set(found))

    def _matching(self, path: str) -> list[int]:
        """The patterns that may match. The set's last pattern matches everything: without it the set has given up."""
        if self._set is None:
            return self._dynamic
        hits: list[int] = self._set.Match(path)
        if len(self._dynamic) not in hits:
            return self._dynamic
        return [self._dynamic[hit] for hit in hits if hit < len(self._dynamic)]

    def _make_set(self) -> Any:
        import re2

        made = re2.Set.FullMatchSet(options(SET_BYTES))
        for index in self._dynamic:
            selector = self._selectors[index]
            made.Add(folded(selector.pattern or "", ignore_case=selector.ignore_case))
        made.Add("(?s).*")
        try:
            made.Compile()
        except re2.error:  # too large for its memory: one by one is slower, and right
            return None
        return made

    def _values(self, selector: S, path: str) -> dict[str, str] | None:
        if selector.pattern is None:
            return {}
        match = self._pattern(selector.pattern, ignore_case=selector.ignore_case).fullmatch(path)
        if match is None or any(
            self._pattern(other, ignore_case=selector.ignore_case).fullmatch(path) for other in selector.unless
        ):
            return None
        return {"0": path} | {str(number): group or "" for number, group in enumerate(match.groups(), 1)}

    def _pattern(self, pattern: str, *, ignore_case: bool) -> Any:
        pattern = folded(pattern, ignore_case=ignore_case)
        found = self._compiled.get(pattern)
        if found is None:
            if len(self._compiled) >= _MAX_COMPILED:
                self._compiled.clear()
            found = self._compiled[pattern] = compiled(pattern)
        return found

    def _hold(self, selector: S, request: Request, values: dict[str, str]) -> bool:
        if any(self._holds(condition, request, values) for condition in selector.missing):
            return False
        return all(self._holds(condition, request, values) for condition in selector.has)

    def _holds(self, condition: Condition, request: Request, values: dict[str, str]) -> bool:
        value = request.value(condition)
        if value is None:
            return False
        if condition.compare:
            return _compares(condition, value)
        if condition.pattern is None:
            if condition.key.isidentifier():
                values[condition.key] = value
            return True
        match = self._pattern(condition.pattern, ignore_case=condition.kind == "host").fullmatch(value)
        if match is None or condition.negated:
            return (match is None) == condition.negated
        if condition.kind == "host":
            values["host"] = value
        values |= {name: group or "" for name, group in match.groupdict().items()}
        return True


def _compares(condition: Condition, value: str) -> bool:
    try:
        number = float(value)
    except ValueError:
        return False
    return {
        "gt": number > condition.number,
        "gte": number >= condition.number,
        "lt": number < condition.number,
        "lte": number <= condition.number,
    }[condition.compare]


class Ready:
    """Rules with their tables. `by_request`: the answer depends on more than the path, so none is remembered by path.
    `proxies`: some requests are for other sites.

    Raises BadRule if a pattern does not compile (receipt has refused such rules).
    """

    __slots__ = ("by_request", "headers", "plain", "proxies", "rules", "table")

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.plain = not rules.rules and not rules.headers
        self.table = Table(rules.rules)
        self.headers = Table(rules.headers)
        self.proxies = any(rule.status == 200 and is_absolute(rule.to) for rule in rules.rules)
        self.by_request = any(selector.has or selector.missing for selector in (*rules.rules, *rules.headers))
