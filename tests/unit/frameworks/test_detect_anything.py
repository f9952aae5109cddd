"""What a stranger's repository holds can make detection refuse, never break or hang it."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalemesh.core.build import BuildSettings, Plan
from scalemesh.core.documents import decode, encode
from scalemesh.errors import BuildFailed
from scalemesh.frameworks import detect

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
PACKAGE_KEYS = ("scripts", "dependencies", "devDependencies", "engines", "volta", "packageManager", "workspaces")
PACKAGES = st.fixed_dictionaries({}, optional=dict.fromkeys(PACKAGE_KEYS, JSON)).map(json.dumps)
VERCEL_KEYS = ("framework", "buildCommand", "installCommand", "outputDirectory")
VERCEL = st.fixed_dictionaries({}, optional=dict.fromkeys(VERCEL_KEYS, JSON)).map(json.dumps)
NAMES = ["angular.json", "hugo.toml", "hugo.json", "netlify.toml", ".nvmrc", "pnpm-workspace.yaml", "yarn.lock"]
MORE_NAMES = ["vite.config.js", "next.config.js", "index.html", "pnpm-lock.yaml", "a/package.json", "_config.yml"]
TEXT = st.text(max_size=40) | st.sampled_from(["[build]\ncommand = 1", "build = 1", "[]", "{", "packages:\n- 'a'"])


@given(
    package=st.none() | PACKAGES | TEXT,
    vercel=st.none() | VERCEL | TEXT,
    others=st.dictionaries(st.sampled_from(NAMES + MORE_NAMES), TEXT, max_size=4),
    root=st.sampled_from(["", "a", "/", "..", "a/../a", "."]),
)
def test_a_plan_or_a_refusal_with_a_code(
    package: str | None, vercel: str | None, others: dict[str, str], root: str
) -> None:
    named = {"package.json": package, "vercel.json": vercel, **others}
    files = {name: text.encode("utf-8", "surrogatepass") for name, text in named.items() if text is not None}
    try:
        plan = detect(list(files), files.get, BuildSettings(root_directory=root))
    except BuildFailed as error:
        plan, refusal = Plan(), error.code
    else:
        refusal = "none"
    assert refusal != BuildFailed.default_code()
    assert decode(Plan, encode(plan)) == plan
    assert not plan.output_directory.startswith(("/", ".."))
    assert not plan.root_directory.startswith(("/", ".."))


BOMBS = {
    "newlines": "\n" * 1_000_000,
    "spaces": " " * 1_000_000,
    "braces": "spa: {" * 150_000,
    "quotes": "output: '" * 100_000,
    "nested": "[" * 200_000,
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_a_large_file_takes_no_long_time(bomb: str) -> None:
    names = ["package.json", "next.config.js", "vite.config.ts", "astro.config.mjs", "pnpm-workspace.yaml", ".nvmrc"]
    package = json.dumps({"dependencies": dict.fromkeys(("next", "astro", "vite", "@tanstack/react-start"), "1")})
    files = {name: bomb.encode() for name in names} | {"package.json": package.encode(), "config.toml": bomb.encode()}
    started = time.monotonic()
    with pytest.raises(BuildFailed):
        detect(list(files), files.get, BuildSettings())
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("value", ["a\0b", "a\ud800b", "a" * 70_000], ids=["NUL", "surrogate", "long"])
@pytest.mark.parametrize("key", ["buildCommand", "installCommand", "ignoreCommand", "outputDirectory"])
def test_what_no_program_can_be_given_is_refused(key: str, value: str) -> None:
    vercel = json.dumps({"buildCommand": "true", "outputDirectory": ".", key: value})
    with pytest.raises(BuildFailed, match=r"vercel\.json") as raised:
        detect(["vercel.json"], {"vercel.json": vercel.encode()}.get, BuildSettings())
    assert raised.value.code == "invalid_" + key.replace("C", "_c").replace("D", "_d")


DEEP = "[" * 100_000
LONG = "9" * 10_000


@pytest.mark.parametrize("name", ["package.json", "vercel.json"])
@pytest.mark.parametrize("value", [DEEP, LONG], ids=["deep", "long"])
def test_json_that_python_refuses(name: str, value: str) -> None:
    with pytest.raises(BuildFailed) as raised:
        detect([name], {name: f'{{"a": {value}'.encode()}.get, BuildSettings())
    assert raised.value.code == "invalid_" + name.replace(".", "_")


@pytest.mark.parametrize("value", [DEEP, LONG], ids=["deep", "long"])
def test_toml_that_python_refuses(value: str) -> None:
    with pytest.raises(BuildFailed) as raised:
        detect(["netlify.toml"], {"netlify.toml": f"a = {value}".encode()}.get, BuildSettings())
    assert raised.value.code == "invalid_netlify_toml"


@pytest.mark.parametrize("name", ["hugo.toml", "hugo.json"])
def test_a_configuration_that_only_the_tool_can_judge(name: str) -> None:
    files = {"hugo.yaml": b"title: x", name: f"a = {DEEP}".encode()}
    assert detect(list(files), files.get, BuildSettings()).output_directory == "public"
