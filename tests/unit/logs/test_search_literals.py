import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from scalemesh.logs.search import Search


@pytest.mark.parametrize(
    ("expression", "literals"),
    [
        ("error", ["error"]),
        (r"Error \[E\d+\]: gone", ["error [e", "]: gone"]),
        ("chunk [0-9a-f]{4,} in .*tsx$", ["chunk ", " in ", "tsx"]),
        ("colou?rs", ["colo"]),
        ("ab+cde", ["cde"]),
        (r"^\w+\.vue", [".vue"]),
        ("warn|error", []),
        ("(?i)error", []),
        ("[[:alpha:]]error", []),
        (r"\x41bcdef", []),
        (r"\QError", []),
    ],
)
def test_an_index_is_asked_for_what_an_expression_needs(expression: str, literals: list[str]) -> None:
    assert Search(expression, "regex").literals == literals


_PIECES = st.sampled_from(
    [
        "abc",
        "ABC",
        "x",
        "{2}",
        "{,2}",
        "{",
        "}",
        "+",
        "*?",
        "?",
        ".",
        r"\d",
        r"\.",
        r"\[",
        "[a-c]",
        "[^]x]",
        "^",
        "$",
        "\\b",
    ]
)


@given(st.lists(_PIECES, max_size=8), st.text("abcxABC.[]{,2}", max_size=24))
def test_every_match_has_the_literals(pieces: list[str], text: str) -> None:
    search = Search("".join(pieces), "regex")
    options = re2.Options()
    options.log_errors = False
    try:
        matches = re2.compile(search.text, options).search(text)
    except re2.error:
        return
    if matches:
        assert [literal for literal in search.literals if literal not in text.lower()] == []
