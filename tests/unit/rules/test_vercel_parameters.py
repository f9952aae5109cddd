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
    ],
)
def test_redirect(source: str, destination: str, target: str, to: str) -> None:
    made = vercel(redirects=[{"source": source, "destination": destination}])
    assert made.answer(target).location == to


def test_host_that_was_asked_for_is_a_parameter() -> None:
    has = [{"type": "host", "value": r"(?<name>.*)\.example"}]
    made = vercel(redirects=[{"source": "/", "destination": "/of/:name/at/:host", "has": has}])
    assert made.answer("/", headers={"host": "a.example"}).location == "/of/a/at/a.example"


def test_headers_of_a_source_without_its_first_slash() -> None:
    source = r"(.*)+/(.*)\.(woff|css)"
    made = vercel(headers=[{"source": source, "headers": [{"key": "X-Font", "value": "yes"}]}])
    assert [name for name, _ in made.answer("/fonts/a.woff").headers] == ["x-font"]
    assert list(made.answer("/").headers) == []
