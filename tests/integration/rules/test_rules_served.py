"""Rule files through a real edge: packed, indexed and served by `scalemesh preview`; `explain` says the same."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scalemesh.main.explain import explain
from tests.integration.edge.harness import DEADLINE_S, Answer, Wire, free_port

SITES = {
    "vercel": {
        "index.html": "home",
        "about.html": "about",
        "vercel.json": json.dumps(
            {
                "cleanUrls": True,
                "redirects": [
                    {"source": "/old/:slug", "destination": "/new/:slug", "statusCode": 301},
                    {"source": "/in", "destination": "/", "has": [{"type": "cookie", "key": "s"}], "permanent": False},
                ],
                "headers": [
                    {"source": "/about", "headers": [{"key": "Cache-Control", "value": "max-age=9"}]},
                    {"source": "/about", "headers": [{"key": "X-Robots-Tag", "value": "none"}]},
                ],
                "rewrites": [
                    {"source": "/((?!api/).*)", "destination": "/index.html"},
                    {"source": "/(", "destination": "/"},
                ],
            }
        ),
    },
    "netlify": {
        "index.html": "home",
        "gone.html": "gone",
        "_redirects": "/a /b\n/x /gone.html 410\n/* /index.html 200\n",
    },
    "cloudflare": {
        "index.html": "home",
        "a.html": "a",
        "wrangler.toml": "",
        "_headers": "/a\n  ! X-Content-Type-Options\n",
    },
}


class Preview:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        code = "import sys; from pathlib import Path; from scalemesh.main.preview import preview;"
        code += "preview(Path(sys.argv[1]), int(sys.argv[2]), lambda address: print(address, flush=True))"
        argv = [sys.executable, "-c", code, str(folder), str(self.port)]
        self._process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        assert self._process.stdout.readline().startswith("http://")

    def get(self, path: str, method: str = "GET", **headers: str) -> Answer:
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        with Wire(self.port) as wire:
            wire.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
            return wire.answer(method=method)

    def stop(self) -> str:
        self._process.send_signal(signal.SIGINT)
        said = self._process.communicate(timeout=DEADLINE_S)[1]
        assert self._process.returncode == 0
        return said


def write(folder: Path, name: str) -> Path:
    for file, text in SITES[name].items():
        (folder / file).write_text(text)
    return folder


@pytest.fixture(scope="module")
def vercel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Preview]:
    preview = Preview(write(tmp_path_factory.mktemp("vercel"), "vercel"))
    yield preview
    preview.stop()


def test_redirect(vercel: Preview) -> None:
    answer = vercel.get("/old/x?a=1")
    assert (answer.status, answer.headers["location"]) == (301, "/new/x?a=1")


def test_redirect_of_another_method(vercel: Preview) -> None:
    assert vercel.get("/old/x", "POST").status == 301


def test_condition_is_asked_each_time(vercel: Preview) -> None:
    assert [vercel.get("/in").body, vercel.get("/in", Cookie="s=1").status, vercel.get("/in").body] == [
        b"home",
        307,
        b"home",
    ]


def test_header_replaces_ours_also_in_a_304(vercel: Preview) -> None:
    fresh = vercel.get("/about")
    again = vercel.get("/about", If_None_Match=fresh.headers["etag"])
    assert (fresh.headers["cache-control"], again.status, again.headers["cache-control"]) == (
        "max-age=9",
        304,
        "max-age=9",
    )


def test_headers_belong_to_their_path(vercel: Preview) -> None:
    assert "x-robots-tag" in vercel.get("/about").headers
    assert "x-robots-tag" not in vercel.get("/").headers


def test_rewrite_behind_a_lookahead(vercel: Preview) -> None:
    assert (vercel.get("/deep/link").body, vercel.get("/api/x").status) == (b"home", 404)


def test_clean_urls(vercel: Preview) -> None:
    answer = vercel.get("/about.html")
    assert (answer.status, answer.headers["location"]) == (308, "/about")


def test_rule_files_are_not_served(vercel: Preview) -> None:
    assert vercel.get("/vercel.json").body == b"home"


@pytest.mark.parametrize("target", ["/", "/about", "/about.html", "/old/x?a=1", "/api/x", "/zzz", "//evil.example/"])
def test_explain_says_what_the_edge_answers(vercel: Preview, target: str) -> None:
    explained, _ = explain(vercel.folder, target, "GET", {}, None)
    answer = vercel.get(target)
    assert (explained["status"], explained["location"]) == (answer.status, answer.headers.get("location"))


def test_headers_of_all_paths_are_on_every_answer(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("home")
    (tmp_path / "_redirects").write_text("/old / 301\n")
    own = "Cache-Control: max-age=9\n  Content-Type: text/x\n  Expires: Thu, 01 Dec 2033 16:00:00 GMT\n  X-Own: 1"
    (tmp_path / "_headers").write_text(f"/*\n  {own}\n")
    preview = Preview(tmp_path)
    try:
        page, missing = preview.get("/"), preview.get("/nope")
        assert (missing.status, missing.headers["x-own"]) == (404, "1")
        assert missing.headers["cache-control"] == "max-age=9"
        assert missing.headers["content-type"] == "text/html; charset=utf-8", "of the edge's own page"
        again = preview.get("/", If_None_Match=page.headers["etag"])
        assert (again.status, again.headers["expires"]) == (304, "Thu, 01 Dec 2033 16:00:00 GMT")
    finally:
        preview.stop()


def test_a_status_of_a_rule_with_its_page(tmp_path: Path) -> None:
    preview = Preview(write(tmp_path, "netlify"))
    try:
        answer = preview.get("/x")
        assert (answer.status, answer.body) == (410, b"gone")
        assert preview.get("/_redirects").body == b"home"
    finally:
        preview.stop()


def test_a_header_taken_away(tmp_path: Path) -> None:
    preview = Preview(write(tmp_path, "cloudflare"))
    try:
        assert "x-content-type-options" not in preview.get("/a").headers
        assert "x-content-type-options" in preview.get("/").headers
    finally:
        preview.stop()


def test_complaints_are_told_and_break_nothing(tmp_path: Path) -> None:
    _, complaints = explain(write(tmp_path, "vercel"), "/", "GET", {}, None)
    assert complaints == ["vercel.json:1: a parenthesis is not closed in `/(`"]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    code = "from scalemesh.cli import main; main()"
    argv = [sys.executable, "-c", code, "explain", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


def test_explain_prints_json(tmp_path: Path) -> None:
    done = run(str(write(tmp_path, "vercel")), "/in", "--header", "Cookie: s=1", "--json")
    assert json.loads(done.stdout) == {
        "status": 307,
        "headers": {},
        "file": None,
        "location": "/",
        "proxy_to": None,
        "matched": [{"source": "vercel.json", "line": 1}],
    }


def test_explain_takes_a_flavour(tmp_path: Path) -> None:
    folder = write(tmp_path, "netlify")
    assert json.loads(run(str(folder), "/a", "--json").stdout)["status"] == 301
    assert json.loads(run(str(folder), "/a", "--json", "--flavour", "cloudflare").stdout)["status"] == 302


def test_explain_refuses_what_is_no_header(tmp_path: Path) -> None:
    done = run(str(tmp_path), "/", "--header", "nonsense")
    assert (done.returncode, "is not a header" in done.stderr) == (2, True)
