import pytest

from scalemesh.core.manifest import Condition, HeaderChange, HeaderRule, Rule, Rules
from scalemesh.rules.check import fault

PLACE = {"source": "_redirects", "line": 1}
TO = {"status": 301, "to": ["/b"]}


@pytest.mark.parametrize(
    "rule",
    [
        Rule(**PLACE, paths=["/a"], status=301),  # type: ignore[arg-type]
        Rule(**PLACE, **TO),  # type: ignore[arg-type]
        Rule(**PLACE, pattern="(", **TO),  # type: ignore[arg-type]
        Rule(**PLACE, pattern=r"(a)\1", **TO),  # type: ignore[arg-type]
        Rule(**PLACE, pattern="(?:(?:a{1000}){1000})", **TO),  # type: ignore[arg-type]
        Rule(**PLACE, pattern="a", unless=["(?=x)"], **TO),  # type: ignore[arg-type]
        Rule(**PLACE, paths=["/a"], has=[Condition(kind="host", pattern="(")], **TO),  # type: ignore[arg-type]
        Rule(**PLACE, paths=["/a"], status=299, to=["/b"]),  # type: ignore[arg-type]
        Rule(**PLACE, paths=["/a"], status=301, to=["//evil.example"]),  # type: ignore[arg-type]
        Rule(**PLACE, paths=["/a"], status=301, to=["javascript:alert(1)"]),  # type: ignore[arg-type]
        Rule(**PLACE, paths=["/a"], status=301, to=["https://", "1", "/"]),  # type: ignore[arg-type]
        Rule(**PLACE, paths=["/a"], status=301, to=["https://e.example", "1", ""]),  # type: ignore[arg-type]
        Rule(**PLACE, paths=["/a"], status=301, to=["https://user@e.example/"]),  # type: ignore[arg-type]
        Rule(**PLACE, paths=["/a"], status=301, to=["/b\r\nX: y"]),  # type: ignore[arg-type]
        Rule(**PLACE, paths=["/a"], status=404, to=["https://e.example/"]),  # type: ignore[arg-type]
        Rule(**PLACE, paths=["/a"], **TO, proxy_headers=[("Host", "b")]),  # type: ignore[arg-type]
        Rule(**PLACE, paths=["/a"], **TO, proxy_headers=[("X", "a\r\nY: b")]),  # type: ignore[arg-type]
    ],
)
def test_rule_is_refused(rule: Rule) -> None:
    assert (fault(Rules(rules=[rule])) or ("", ""))[0] == "rules.rules[0]"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("", "x"),
        ("X A", "x"),
        ("X-A", "a\r\nb"),
        ("X-A", "a\x00"),
        ("X-A", "ü€"),
        ("Content-Length", "1"),
        ("X", "a" * 40_000),
    ],
)
def test_header_is_refused(name: str, value: str) -> None:
    made = HeaderRule(**PLACE, paths=["/"], headers=[HeaderChange(name=name, value=[value])])  # type: ignore[arg-type]
    assert (fault(Rules(headers=[made])) or ("", ""))[0] == "rules.headers[0]"


def test_too_many_rules_are_refused() -> None:
    assert fault(Rules(rules=[Rule(**PLACE, paths=["/a"], **TO)] * 5000)) == ("rules", "too many rules")  # type: ignore[arg-type]


def test_none_are_fine() -> None:
    assert fault(Rules()) is None
