"""Netlify's redirects to other sites: `headers` of netlify.toml are sent there; `signed` ones are left out."""

import pytest

from tests.rules_cases import site

TO = 'from = "/api/*"\nto = "https://api.example/:splat"\nstatus = 200\n'


def toml(more: str) -> dict[str, str]:
    return {"netlify.toml": f"[[redirects]]\n{TO}{more}"}


def test_headers_go_with_the_request() -> None:
    decision = site(toml('[redirects.headers]\nX-From = "Netlify"\nx-token = "a b"')).answer("/api/x")
    assert decision.proxy_to == "https://api.example/x"
    assert decision.proxy_headers == [("X-From", "Netlify"), ("x-token", "a b")]


def test_headers_of_the_answer_are_others() -> None:
    rules = toml('[redirects.headers]\nX-From = "Netlify"\n[[headers]]\nfor = "/*"\n[headers.values]\nX-To = "client"')
    decision = site(rules).answer("/api/x")
    assert (decision.proxy_headers, decision.headers) == ([("X-From", "Netlify")], [("x-to", "client")])


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ('signed = "KEY"', "`signed` is not supported"),
        ('sign = "KEY"', "`signed` is not supported"),
        ('headers = {Host = "x"}', "the header `Host` of a request to another site is set by the edge alone"),
        ('headers = {X_Forwarded_For = "x"}', "the header `X_Forwarded_For` of a request"),
        ('headers = {"a b" = "x"}', "'a b' is not a header name"),
        ('headers = {A = "x\\r\\nB: y"}', "the value of `A` has a character"),
        ("headers = {A = 1}", "`headers` must hold strings"),
        ('headers = "A: b"', "headers"),
    ],
)
def test_left_out_with_a_complaint(more: str, complaint: str) -> None:
    made = site(toml(more))
    assert made.answer("/api/x").status == 404
    assert len(made.parsed.complaints) == 1
    assert made.parsed.complaints[0].startswith("netlify.toml:1: ")
    assert complaint in made.parsed.complaints[0]


def test_signed_in_a_line() -> None:
    made = site({"_redirects": "/api/* https://api.example/:splat 200 Signed=KEY"})
    assert made.answer("/api/x").status == 404
    assert made.parsed.complaints[0].startswith("_redirects:1: `signed` is not supported")
