"""Static files: named by their content, kept for good, nothing else served."""

import re

import httpx
import pytest

from scalemesh.dashboard import assets


async def test_current_assets_may_be_kept_for_good(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.get(assets.url("style.css"))

    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["Content-Type"] == "text/css; charset=utf-8"


async def test_another_version_is_answered_but_not_kept(visitor: httpx.AsyncClient) -> None:
    answer = await visitor.get("/assets/000000000000/js/app.js")

    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("name", ["../render.py", "js/none.js", "..%2f..%2fsettings.py", "css"])
async def test_nothing_else_is_served(visitor: httpx.AsyncClient, name: str) -> None:
    assert (await visitor.get(f"/assets/{assets.version()}/{name}")).status_code == 404


def test_scripts_import_only_what_is_there() -> None:
    scripts = {name: data.decode() for name, (data, _) in assets.contents().items() if name.endswith(".js")}
    imported = {f"js/{found}" for text in scripts.values() for found in re.findall(r'from "\./([^"]+)"', text)}

    assert imported <= set(scripts)
    assert set(scripts) - imported == {"js/app.js"}


def test_styles_use_only_tokens_that_exist() -> None:
    style = assets.contents()["style.css"][0].decode()
    defined = set(re.findall(r"(--[a-z0-9-]+):", style))

    assert set(re.findall(r"var\((--[a-z0-9-]+)", style)) <= defined


def test_nothing_comes_from_elsewhere() -> None:
    everything = b"".join(data for data, _ in assets.contents().values()).decode()

    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)[^\s\"']+", everything) == []
