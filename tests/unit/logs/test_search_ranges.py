"""What is highlighted of a hit."""

import pytest

from scalemesh.logs.search import Mode, Search


@pytest.mark.parametrize(
    ("mode", "query", "text", "marked"),
    [
        ("words", "tax", "Tax tax,tax", ["Tax", "tax", "tax"]),
        ("words", "tax", "taxes tax syntax tax_a", ["tax"]),
        ("words", "tax", "tax\u00e9 tax", ["tax"]),
        ("words", "b a", "a b a", ["a", "b", "a"]),
        ("words", "error", "\x1b[31merror\x1b[0m error", ["error", "error"]),
        ("substring", "tax", "taxes syntax", ["tax", "tax"]),
        ("regex", "x*", "xx y x", ["xx", "x"]),
    ],
)
def test_every_match_is_highlighted(mode: Mode, query: str, text: str, marked: list[str]) -> None:
    assert [text[start:end] for start, end in Search(query, mode).ranges(text)] == marked


def test_nothing_is_highlighted_twice() -> None:
    assert Search("ab bc", "words").ranges("ab bc") == [(0, 2), (3, 5)]
    assert Search("a b", "words").ranges("a b") == [(0, 1), (2, 3)]
