"""Rules for one host of a site, and what Cloudflare and Netlify make of odd sources."""

import pytest

from tests.rules_cases import Site, site

PAGES = ("/index.html", "/404.html", "/blog.html", "/path.html")
WORKER = '{"assets": {"html_handling": "none"}}'


def cloudflare(wrangler: str = '{"name": "pages"}', **files: str) -> Site:
    return site({"wrangler.json": wrangler, **files}, *PAGES)


def location(served: Site, target: str, host: str = "") -> str | None:
    return served.answer(target, headers={"host": host}).location


@pytest.mark.parametrize(
    ("target", "host", "headers"),
    [
        ("/", "example.com", [("a", "1")]),
        ("/", "EXAMPLE.com", [("a", "1")]),
        ("/", "other.example", []),
        ("/blog", "example.com", [("b", "2"), ("c", "3")]),
        ("/blog", "other.example", [("c", "3")]),
        ("/path", "docs.pages.dev", [("d", "docs in dev")]),
        ("/path", "a.docs.pages.dev", []),
        ("/path", "deep.down.example.org", [("e", "deep.down")]),
    ],
)
def test_headers_of_a_host(target: str, host: str, headers: list[tuple[str, str]]) -> None:
    blocks = {
        "https://example.com": "A: 1",
        "https://example.com/blog": "B: 2",
        "/blog": "C: 3",
        "https://:project.pages.:tld/path": "D: :project in :tld",
        "https://*.example.org/path": "E: :splat",
    }
    served = cloudflare(_headers="\n".join(f"{path}\n  {line}" for path, line in blocks.items()))
    assert served.parsed.complaints == []
    assert list(served.answer(target, headers={"host": host}).headers) == headers


@pytest.mark.parametrize(
    "source", ["http://a.example/x", "https://a.example:8080", "https:///x", "https://*.a.example/*", "https://:a.b/:a"]
)
def test_host_that_cannot_be_is_a_complaint(source: str) -> None:
    served = cloudflare(_headers=f"{source}\n  A: 1\n/blog\n  B: 2")
    assert [complaint.split(" ")[0] for complaint in served.parsed.complaints] == ["_headers:1:"]
    assert list(served.answer("/blog").headers) == [("b", "2")]


def test_broken_line_of_a_block_leaves_the_others() -> None:
    served = cloudflare(_headers="/blog\n  no colon\n  !glued\n  A: 1\n  ! Content-Type: text/plain\n  ! X-Robots-Tag")
    assert [complaint.split(" ")[0] for complaint in served.parsed.complaints] == [f"_headers:{n}:" for n in (2, 3, 5)]
    answer = served.answer("/blog")
    assert (list(answer.headers), list(answer.without)) == ([("a", "1")], ["x-robots-tag"])


@pytest.mark.parametrize(
    ("rule", "target", "to"),
    [
        ("/c?this=counts-for-nothing /d 301", "/c", "/d"),
        ("c.example /d", "/c.example", "/d"),
        ("/to/https://a.example /d", "/to/https://a.example", "/d"),
        ("https://a.example/c /d", "/c", None),
    ],
)
def test_source_of_a_cloudflare_redirect_is_a_path(rule: str, target: str, to: str | None) -> None:
    served = cloudflare(_redirects=rule)
    assert location(served, target) == to
    assert bool(served.parsed.complaints) == (to is None)


@pytest.mark.parametrize("rule", ["/* /index.html 200", "/* /index 301", "/ /index.html", "/a/* /a/index.html 200"])
def test_rule_into_its_own_index_is_a_loop(rule: str) -> None:
    served = cloudflare(_redirects=rule)
    (complaint,) = served.parsed.complaints
    assert "loop" in complaint
    assert served.answer("/").status == 200


def test_root_may_lead_to_the_index_where_it_does_not_by_itself() -> None:
    served = cloudflare(WORKER, _redirects="/ /index.html")
    assert (served.parsed.complaints, location(served, "/")) == ([], "/index.html")


@pytest.mark.parametrize("file", ["_redirects", "netlify.toml"])
def test_netlify_redirect_of_a_host(file: str) -> None:
    rule = "http://old.example/* https://new.example/:splat 301!"
    table = (
        '[[redirects]]\nfrom = "http://old.example/*"\nto = "https://new.example/:splat"\nstatus = "301"\nforce = true'
    )
    served = site({"netlify.toml": ""} | {file: rule if file == "_redirects" else table}, "/index.html")
    assert served.parsed.complaints == []
    assert location(served, "/a/b", "old.example") == "https://new.example/a/b"
    assert served.answer("/", headers={"host": "new.example"}).status == 200


def test_netlify_toml_forgives_spaces_and_a_missing_slash() -> None:
    redirect = '[[redirects]]\nfrom = "old"\nto = " https://new.example/"\n'
    headers = "[[headers]]\nfor = '/*'\n[headers.values]\ncache-control = '''\n  max-age=0,\n  no-cache'''\n"
    served = site({"netlify.toml": redirect + headers}, "/index.html")
    assert served.parsed.complaints == []
    assert location(served, "/old") == "https://new.example/"
    assert list(served.answer("/").headers) == [("cache-control", "max-age=0, no-cache")]
