"""What of a line is highlighted."""

import pytest

from scalemesh.logs.search import MAX_SPANS, Mode, Search


@pytest.mark.parametrize(
    ("text", "mode", "line", "marked"),
    [
        ("tax", "words", "tax tax,Tax taxes", ["tax", "tax", "Tax"]),
        ("not module", "words", "module not found", ["module", "not"]),
        ("aa", "substring", "aaaa", ["aaaa"]),
        ("a+", "regex", "aa b a", ["aa", "a"]),
        ("^a", "regex", "aaa", ["a"]),
        ("x*", "regex", "axxa", ["xx"]),
        ("größe", "words", "Die Größe: größe", ["Größe", "größe"]),
    ],
)
def test_every_match_is_marked(text: str, mode: Mode, line: str, marked: list[str]) -> None:
    assert [line[start:end] for start, end in Search(text, mode).ranges(line)] == marked


def test_marks_are_bounded() -> None:
    assert len(Search("a", "words").ranges("a " * 10_000)) == MAX_SPANS
