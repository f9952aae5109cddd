import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalemesh.core.build import Flavour
from scalemesh.rules.check import fault
from scalemesh.rules.matching import Ready
from scalemesh.rules.read import FLAVOURS, RULE_FILES, read_rules
from tests.rules_cases import parse

NAMES = sorted(RULE_FILES)
WORDS = st.sampled_from(
    ["/", "/a", "/a/*", "/:x", "/(.*)", "*", ":splat", "https://e.example/", "301", "200!", "#", "a=b", "x=:x", "\n",
     "X-A: 1", "! X-A", "[[redirects]]", "from = '/a'", "to = '/b'", "(?!a)", "(", "\\", "{", "\x00", "é",
     "\ud800", " "]
)  # fmt: skip
LINES = st.lists(WORDS, max_size=30).map(" ".join)
SOURCES = st.lists(
    st.sampled_from(["/", "a", ":b", "(", ")", "(?!", ".*", "\\", "*", "?", "{", "}", "|", "[", "é"]), max_size=12
).map("".join)
RULES = st.fixed_dictionaries(
    {"source": SOURCES.map(lambda s: "/" + s) | st.none()},
    optional={
        "destination": SOURCES | st.just("https://:b.example/$1"),
        "permanent": st.booleans() | st.text(max_size=2),
        "statusCode": st.integers(100, 600),
        "has": st.lists(st.fixed_dictionaries({"type": st.sampled_from(["host", "query", "x"]), "value": SOURCES})),
        "headers": st.lists(st.fixed_dictionaries({"key": st.text(max_size=4), "value": SOURCES}), max_size=2),
    },
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def read(files: dict[str, bytes], flavour: Flavour | None = None) -> None:
    """Whatever they hold: rules that receipt takes, and complaints of one line each."""
    parsed = read_rules(files.get, files.get, lambda _: True, flavour)
    assert fault(parsed.rules) is None
    Ready(parsed.rules)
    assert all(line.split(":")[0] in RULE_FILES and line.split(":")[1].isdigit() for line in parsed.complaints)


@given(st.sampled_from(NAMES), LINES | st.text(max_size=200), st.sampled_from(FLAVOURS))
def test_text_of_any_kind_is_read(name: str, text: str, flavour: Flavour) -> None:
    read({name: text.encode("utf-8", "surrogatepass")}, flavour)


@given(st.dictionaries(st.sampled_from(["redirects", "rewrites", "headers"]), st.lists(RULES, max_size=4) | JSON))
def test_any_vercel_json_is_read(document: object) -> None:
    read({"vercel.json": json.dumps(document).encode()})


@given(
    st.lists(
        st.dictionaries(st.sampled_from(["src", "dest", "status", "headers", "handle"]), SOURCES | JSON), max_size=4
    )
)
def test_any_routes_are_read(routes: object) -> None:
    read({"vercel.json": json.dumps({"routes": routes}).encode()})


@pytest.mark.parametrize("data", [b"[" * 200_000, b'{"redirects":' * 50_000, b"\xff\xfe", b"a" * 2_000_000])
@pytest.mark.parametrize("name", NAMES)
def test_hostile_files_are_complaints(name: str, data: bytes) -> None:
    flavour: Flavour = "cloudflare" if name.startswith("wrangler") else "netlify"
    flavour = "vercel" if name == "vercel.json" else flavour
    parsed = read_rules({name: data}.get, {name: data}.get, lambda _: False, flavour)
    assert parsed.complaints
    assert parsed.rules.rules == []


@pytest.mark.timeout(20)
def test_2048_long_lines_are_read_in_linear_time() -> None:
    line = "/" + "/".join(f":p{n}" for n in range(50))
    parsed = parse({"_redirects": "".join(f"{line} /x{n}\n" for n in range(2100))})
    assert len(parsed.rules.rules) == 2048
    assert parsed.complaints == ["_redirects:2049: more than 2048 rules: those from here on are left out"]


@pytest.mark.parametrize(
    ("files", "flavour"),
    [
        ({}, None),
        ({"_redirects": ""}, "netlify"),
        ({"_headers": ""}, "netlify"),
        ({"vercel.json": "{}"}, "vercel"),
        ({"wrangler.jsonc": "{}", "vercel.json": "{}"}, "cloudflare"),
        ({"netlify.toml": "", "wrangler.toml": "", "vercel.json": "{}"}, "netlify"),
    ],
)
def test_flavour_follows_from_the_files(files: dict[str, str], flavour: str | None) -> None:
    assert parse(files).rules.flavour == flavour


def test_rules_of_another_flavour_are_named() -> None:
    assert parse({"vercel.json": "{}", "_redirects": "/a /b"}).complaints == [
        "_redirects:1: not read: this site follows the rules of vercel"
    ]
    assert parse({"netlify.toml": "", "vercel.json": '{"rewrites": []}'}).complaints == [
        "vercel.json:1: not read: this site follows the rules of netlify"
    ]


def test_invalid_files_name_the_line() -> None:
    assert parse({"vercel.json": '{\n"a": 1,\n}'}).complaints[0].startswith("vercel.json:3: not valid JSON")
    assert parse({"netlify.toml": "a = 1\nb = x\nc = 1"}).complaints[0].startswith("netlify.toml:2: not valid TOML")
