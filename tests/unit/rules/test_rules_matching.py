import json
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalemesh.core.manifest import Condition, Rule, Rules
from scalemesh.rules import matching
from scalemesh.rules.matching import Ready, Request, Table
from tests.rules_cases import site


def rule(line: int, **fields: object) -> Rule:
    return Rule(source="r", line=line, status=301, to=["/x"], **fields)  # type: ignore[arg-type]


def lines(table: Table[Rule], path: str) -> list[int]:
    return [found.line for found, _ in table.matches(Request(path=path))]


def test_exact_paths_and_patterns_come_in_the_order_of_the_rules() -> None:
    table = Table([rule(1, pattern="/(.*)"), rule(2, paths=["/a"]), rule(3, pattern="/a")])
    assert lines(table, "/a") == [1, 2, 3]
    assert lines(table, "/b") == [1]


def test_case_counts_only_where_a_rule_says_so() -> None:
    table = Table([rule(1, paths=["/A"], ignore_case=True), rule(2, paths=["/A"]), rule(3, pattern="/A.?")])
    assert lines(table, "/a") == [1]


def test_2048_patterns_are_matched_as_one_set() -> None:
    table = Table([rule(n, pattern=f"/p{n}/([^/]+?)/(.*)") for n in range(2048)])
    (found, values), *rest = table.matches(Request(path="/p77/x/y/z"))
    assert (found.line, values["1"], values["2"], rest) == (77, "x", "y/z", [])


def test_a_set_that_has_given_up_changes_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table([rule(n, pattern=f"/p{n}/(.*)") for n in range(10)])

    class Exhausted:
        def Match(self, text: str) -> list[int]:  # noqa: N802
            return []

    monkeypatch.setattr(table, "_set", Exhausted())
    assert lines(table, "/p7/x") == [7]


def test_a_set_too_large_for_its_memory_changes_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matching, "SET_BYTES", 1 << 14)
    assert lines(Table([rule(n, pattern=f"/p{n}/(.*)") for n in range(500)]), "/p7/x") == [7]


def test_conditions_make_an_answer_depend_on_the_request() -> None:
    has = [Condition(kind="header", key="x")]
    assert Ready(Rules(rules=[rule(1, paths=["/"], has=has)])).by_request
    assert not Ready(Rules(rules=[rule(1, paths=["/"])])).by_request


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({"type": "host", "value": "a\\.example"}, True),
        ({"type": "host", "value": "a"}, False),
        ({"type": "header", "key": "X-Kind"}, True),
        ({"type": "header", "key": "x-none"}, False),
        ({"type": "cookie", "key": "n", "value": {"gte": 5}}, True),
        ({"type": "cookie", "key": "n", "value": {"gt": 5}}, False),
        ({"type": "query", "key": "q", "value": {"pre": "a.", "suf": "c"}}, True),
        ({"type": "query", "key": "q", "value": {"eq": "a.b"}}, False),
        ({"type": "query", "key": "q", "value": {"neq": "a.b"}}, True),
        ({"type": "query", "key": "q", "value": {"inc": ["x", "a.bc"]}}, True),
        ({"type": "query", "key": "q", "value": {"ninc": ["x", "a.bc"]}}, False),
    ],
)
def test_has_and_missing(condition: object, holds: bool) -> None:
    items = [
        {"source": "/a", "destination": "/has", "has": [condition]},
        {"source": "/a", "destination": "/missing", "missing": [condition]},
    ]
    made = site({"vercel.json": json.dumps({"redirects": items})})
    assert made.parsed.complaints == []
    answer = made.answer("/a?q=a.bc", headers={"host": "a.example", "x-kind": "1", "cookie": "n=5"})
    assert (answer.location or "").partition("?")[0] == ("/has" if holds else "/missing")


ALL = {
    "_redirects": "/a/* /:splat\n/b/* :splat 302\n/c/:x https://e.example/:x\n/h/* https://e.example/:splat\n",
    "netlify.toml": '[[headers]]\nfor = "/*"\n[headers.values]\nX-A = "1"\n',
}
VERCEL = {
    "trailingSlash": False,
    "cleanUrls": True,
    "redirects": [
        {"source": "/a/:p(.*)", "destination": "/:p"},
        {"source": "/c/:x", "destination": "https://:x.e.example/:x"},
    ],
    "headers": [{"source": "/:p(.*)", "headers": [{"key": "X-P", "value": ":p"}]}],
}
SITES = [site(ALL, "/index.html"), site({"vercel.json": json.dumps(VERCEL)}, "/index.html")]


@given(
    st.sampled_from(SITES), st.sampled_from(["", "/a/", "/b/", "/c/", "/h/"]), st.text(max_size=30), st.text(max_size=9)
)
def test_no_request_leads_astray(made: object, start: str, rest: str, query: str) -> None:
    answer = made.answer(f"{start}/{rest}?{query}")  # type: ignore[attr-defined]
    for text in (answer.location or "", *(value for _, value in answer.headers)):
        assert text.isascii()
        assert text.isprintable()
    if answer.location is not None:
        host = urlsplit(answer.location).hostname or ""
        assert host in {"", "e.example"} or host.endswith(".e.example")
        assert not answer.location.startswith(("//", "/\\"))
