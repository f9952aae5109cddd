import pytest

from scalemesh.core.build import BlobRef
from scalemesh.core.decision import Decision
from scalemesh.core.manifest import Entry, Rules
from scalemesh.rules.decide import decide
from scalemesh.rules.matching import Ready, Request

ENTRY = Entry(identity=BlobRef(sha256="a" * 64, size=1), type="text/html")


def decided(path: str, *files: str, rules: Rules | None = None, query: str = "", method: str = "GET") -> Decision:
    request = Request(path=path, query=query, method=method)
    return decide(request, dict.fromkeys(files, ENTRY).get, Ready(rules or Rules()))


def test_root_is_its_index() -> None:
    assert decided("/", "/index.html") == Decision(status=200, file="/index.html")


def test_exact_file_wins_over_clean_url_and_index() -> None:
    assert decided("/a", "/a", "/a.html", "/a/index.html").file == "/a"


def test_clean_url_wins_over_index() -> None:
    assert decided("/a", "/a.html", "/a/index.html").file == "/a.html"


def test_clean_urls_off() -> None:
    assert decided("/a", "/a.html", rules=Rules(clean_urls=False)).status == 404


def test_folder_with_and_without_slash_answers() -> None:
    assert decided("/d", "/d/index.html").file == decided("/d/", "/d/index.html").file == "/d/index.html"


def test_clean_url_with_slash() -> None:
    assert decided("/a/", "/a.html").file == "/a.html"


def test_fallback_answers_what_nothing_else_does_with_200() -> None:
    rules = Rules(fallback="/index.html")
    assert decided("/any/where", "/index.html", rules=rules) == Decision(status=200, file="/index.html")


def test_file_wins_over_fallback() -> None:
    assert decided("/a.js", "/a.js", "/index.html", rules=Rules(fallback="/index.html")).file == "/a.js"


def test_nearest_404_up_the_tree() -> None:
    files = ("/404.html", "/docs/404.html")
    assert decided("/docs/v1/x", *files) == Decision(status=404, file="/docs/404.html")
    assert decided("/blog/x", *files) == Decision(status=404, file="/404.html")


def test_404_without_a_page() -> None:
    assert decided("/x", "/index.html") == Decision(status=404)


def test_trailing_slash_true_redirects_pages_and_leaves_files() -> None:
    rules = Rules(trailing_slash=True)
    assert decided("/a", "/a/index.html", rules=rules) == Decision(status=308, location="/a/")
    assert decided("/a.js", "/a.js", rules=rules).status == 200
    assert decided("/a.js/", "/a.js", rules=rules).location == "/a.js"


def test_trailing_slash_false_redirects_keeping_the_query() -> None:
    assert decided("/a/", "/a.html", rules=Rules(trailing_slash=False), query="b=c").location == "/a?b=c"


def test_root_is_never_redirected() -> None:
    for slash in (True, False):
        assert decided("/", "/index.html", rules=Rules(trailing_slash=slash)).status == 200


@pytest.mark.parametrize(
    "path", ["/.well-known", "/.well-known/x", "/.well-known/x.txt/", "/.a/", "/v1.2-rc/", "/v1.2-rc"]
)
def test_no_slash_is_added_or_taken_where_vercel_leaves_a_path_alone(path: str) -> None:
    assert decided(path, rules=Rules(trailing_slash=True)).location is None


def test_every_last_slash_is_taken() -> None:
    assert decided("/.well-known/x/", rules=Rules(trailing_slash=False)).location == "/.well-known/x"


def test_redirect_never_leaves_the_site() -> None:
    assert decided("//evil.example/", rules=Rules(trailing_slash=False)).location == "/evil.example"
    assert decided("//evil.example", rules=Rules(trailing_slash=True)).status == 404
    assert decided("//evil", rules=Rules(trailing_slash=True)).location == "/evil/"


def test_redirect_target_is_encoded() -> None:
    assert decided("/é ö/", rules=Rules(trailing_slash=False)).location == "/%C3%A9%20%C3%B6"


def test_other_methods() -> None:
    allow = [("allow", "GET, HEAD, OPTIONS")]
    assert decided("/", "/index.html", method="POST") == Decision(status=405, headers=allow)
    assert decided("/", "/index.html", method="OPTIONS") == Decision(status=204, headers=allow)
