"""Where a parameter of a vercel.json rule may stand, and what is written there."""

import json

import pytest

from tests.rules_cases import Site, site


def vercel(**rules: object) -> Site:
    made = site({"vercel.json": json.dumps(rules)}, "/index.html", "/fonts/a.woff")
    assert made.parsed.complaints == []
    return made


@pytest.mark.parametrize(
    ("source", "destination", "target", "to"),
    [
        ("/hello/:world", "/new?else={:world}", "/hello/you", "/new?else=you"),
        ("/hello/:world", "/new?else=:world", "/hello/a%26b", "/new?else=a%26b"),
        ("/docs/:path*", "/#/docs/:path*", "/docs/a/b", "/#/docs/a/b"),
        ("/docs/:path*", "/new?path=:path*", "/docs/a/b", "/new?path=a/b"),
        ("/docs/:path*", "/new/:path*/end", "/docs/a/b", "/new/a/b/end"),
        ("old", "/new", "/old", "/new"),
        ("old/:id", "/new/:id", "/old/7", "/new/7"),
        ("/:path*", "https://new.example/:path*", "/", "https://new.example/"),
        ("/:path*", "https://new.example/:path*", "/a/b", "https://new.example/a/b"),
        ("/:id(\\d+)?", "/n/:id", "/", "/n/"),
        ("/((?!api).*)?", "/n", "/", "/n"),
        ("(.*)", "/at?path=$1", "/a/b", "/at?path=/a/b"),
        ("/(\\d+)/(.*)", "https://ex.com?n=$1#$2", "/7/x", "https://ex.com?n=7#x"),
    ],
)
def test_redirect(source: str, destination: str, target: str, to: str) -> None:
    made = vercel(redirects=[{"source": source, "destination": destination}])
    assert made.answer(target).location == to


def test_host_that_was_asked_for_is_a_parameter() -> None:
    has = [{"type": "host", "value": r"(?<name>.*)\.example"}]
    made = vercel(redirects=[{"source": "/", "destination": "/of/:name/at/:host", "has": has}])
    assert made.answer("/", headers={"host": "a.example"}).location == "/of/a/at/a.example"


@pytest.mark.parametrize(
    ("destination", "asked"),
    [
        ("https://a.example/x", "https://a.example/x?id=7&name=y"),
        ("https://a.example/$1", "https://a.example/7?id=7&name=y"),
        ("https://a.example/x?id=1", "https://a.example/x?id=1&name=y"),
        ("https://a.example/:id", "https://a.example/7"),
        ("https://a.example/x#:name", "https://a.example/x"),
    ],
)
def test_parameters_that_a_proxied_rewrite_does_not_name_are_in_its_query(destination: str, asked: str) -> None:
    made = vercel(rewrites=[{"source": "/u/:id/:name", "destination": destination}])
    assert made.answer("/u/7/y").proxy_to == asked


@pytest.mark.parametrize(
    ("value", "sent"),
    [("<:path*>", "<a%20b/c>"), ("$1", "a%20b/c"), ("$2 $5 :other* :path", "$2 $5 :other* a%20b/c")],
)
def test_header_says_what_the_path_holds_as_it_is_written_in_addresses(value: str, sent: str) -> None:
    made = vercel(headers=[{"source": "/x/:path*", "headers": [{"key": "X-At", "value": value}]}])
    assert made.answer("/x/a%20b/c").headers == [("x-at", sent)]


def test_headers_of_a_source_without_its_first_slash() -> None:
    source = r"(.*)+/(.*)\.(woff|css)"
    made = vercel(headers=[{"source": source, "headers": [{"key": "X-Font", "value": "yes"}]}])
    assert [name for name, _ in made.answer("/fonts/a.woff").headers] == ["x-font"]
    assert list(made.answer("/").headers) == []


@pytest.mark.parametrize(
    ("value", "sent"),
    [({"eq": "5$"}, "5$"), ({"suf": "$"}, "5$"), ("^a$", "a"), ("^a|b$", "b"), (r"5\\$", "5\\"), ({"eq": "^a"}, "^a")],
)
def test_condition_on_the_whole_value(value: object, sent: str) -> None:
    has = [{"type": "header", "key": "X-A", "value": value}]
    made = vercel(redirects=[{"source": "/x", "destination": "/y", "has": has}])
    assert [made.answer("/x", headers={"x-a": text}).location for text in (sent, sent + "z")] == ["/y", None]
