import re

import pytest

from scalemesh.rules.complaints import BadRule
from scalemesh.rules.lookahead import split
from scalemesh.rules.pathexp import names, parse, to_regex


@pytest.mark.parametrize(
    ("source", "regex"),
    [  # what path-to-regexp 6.1.0 gives with {strict: true, sensitive: true, delimiter: '/'}, between ^ and $
        ("/a/:b", r"/a(?:/([^/]+?))"),
        ("/:a?", r"(?:/([^/]+?))?"),
        ("/:a*", r"(?:/((?:[^/]+?)(?:/(?:[^/]+?))*))?"),
        ("/:a+/c", r"(?:/((?:[^/]+?)(?:/(?:[^/]+?))*))/c"),
        ("/(.*)", r"(?:/(.*))"),
        (r"/x-:id(\d+)", r"/x-(\d+)"),
        ("/f.:ext", r"/f(?:\.([^/]+?))"),
        ("/a{-:b}?", r"/a(?:-([^/]+?))?"),
        (r"/a\:b", "/a\\:b"),
        ("/a{b}*", "/a(?:b)*"),
    ],
)
def test_source_compiles_as_in_path_to_regexp(source: str, regex: str) -> None:
    assert to_regex(parse(source)) == regex


def test_names_are_in_the_order_of_groups() -> None:
    assert names(parse("/:a/(.*)/:b")) == ["a", "0", "b"]


@pytest.mark.parametrize("source", ["/:", "/(", "/()", "/(?:a)", "/(a(b))", "/{a", "/a}", "/a)", "/*"])
def test_what_path_to_regexp_refuses_is_refused(source: str) -> None:
    with pytest.raises(BadRule):
        parse(source)


@pytest.mark.parametrize(
    "regex",
    [
        "/((?!api/).*)",
        "(?:/((?!api|_next/static).*))",
        "(?:/([^/]+?))(?:/((?!x$).*))",
        "/(?!a)(?!b)([a-z]*)",
        "/a/(?!b/c)[^/]*/.*",
        "/((?!api|b$).*)",
        "(?:/((?!api).*))?",
    ],
)
@pytest.mark.parametrize(
    "path", ["/", "/api", "/api/x", "/apix", "/_next/static/a", "/q/x", "/q/xy", "/a", "/b", "/c", "/a/b/c", "/a/b/d"]
)
def test_lookahead_as_two_patterns_means_the_same(regex: str, path: str) -> None:
    pattern, unless = split(regex)
    ours = re.fullmatch(pattern, path) is not None and not any(re.fullmatch(each, path) for each in unless)
    assert ours == (re.fullmatch(regex, path) is not None)


@pytest.mark.parametrize(
    "regex",
    [
        "/a(?!b).*",
        "/(.*)/((?!x).*)",
        "/((?!a)b|c)",
        "/((?!a).)*",
        "/(?!a)?b",
        "/((?!a).*)?",
        "(?:/((?!a)b))?.*",
        "/(?=a).*",
        "/(?<!a)b",
        "/(?!(?!a)).*",
        "/(?!a",
    ],
)
def test_any_other_lookaround_is_refused(regex: str) -> None:
    with pytest.raises(BadRule):
        split(regex)
