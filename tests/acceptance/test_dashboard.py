"""A person with a browser: from the one-time link to the open site, in real headless Chromium."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests import browser as chromium
from tests.acceptance.harness import PASSWORD, Platform
from tests.acceptance.repositories import Repositories

FLAGS = [
    "--no-sandbox",  # the tests may run as root
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = chromium.path()
    assert executable, "run `make test`, which installs Chromium"
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    context.set_default_timeout(20_000)
    opened = context.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    yield opened
    context.close()
    assert problems == []


def sign_in(page: Page, platform: Platform) -> None:
    page.goto(f"{platform.url}/login")
    page.get_by_label("Email").fill("ada@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Projects")).to_be_visible()


def test_set_up_by_the_printed_link(scalemesh: Path, tmp_path: Path, page: Page) -> None:
    with Platform(scalemesh, tmp_path / "data") as fresh:
        link = next(word for word in fresh.log.read_text().split() if "/setup?token=" in word)
        page.goto(link)
        page.get_by_label("Email").fill("grace@example.org")
        page.get_by_label("Password", exact=False).first.fill(PASSWORD)
        page.get_by_label("Team", exact=False).fill("navy")
        page.get_by_role("button").last.click()
        expect(page.get_by_role("heading", name="Projects")).to_be_visible()
        page.goto(link)
        expect(page.get_by_role("button", name="Create")).to_have_count(0)


def test_import_and_deploy_with_one_click(platform: Platform, git: Repositories, page: Page) -> None:
    package = '{"private": true, "scripts": {"build": "node build.mjs"}}'
    build = (
        'import {mkdirSync, writeFileSync} from "node:fs";'
        'console.log("\\u001b[32mgreen words\\u001b[0m <b>not bold</b>");'
        'mkdirSync("dist"); writeFileSync("dist/index.html", "<h1>Clicked into being</h1>");'
    )
    url = git.create("one-click", {"package.json": package, "build.mjs": build})
    sign_in(page, platform)
    page.get_by_role("link", name="New project").first.click()
    page.get_by_label("Repository URL").fill(url)
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_label("Build command")).to_have_value("npm run build")
    page.get_by_role("button", name="Deploy").click()
    expect(page.get_by_text("green words <b>not bold</b>")).to_be_visible(timeout=60_000)
    expect(page.get_by_text("Ready", exact=True).first).to_be_visible(timeout=60_000)
    site = page.get_by_role("link", name="Visit").first.get_attribute("href")
    assert site
    page.goto(site)
    expect(page.get_by_role("heading", name="Clicked into being")).to_be_visible()


def test_pages_fit_a_phone(platform: Platform, git: Repositories, page: Page) -> None:
    git.create("phone", {"index.html": "phone"})
    platform.project("phone", git.url("phone"))
    deployment = platform.ended(platform.deploy("phone")["id"])["id"]
    page.set_viewport_size({"width": 360, "height": 740})
    sign_in(page, platform)
    for path in ("/", "/new", "/projects/phone", f"/deployments/{deployment}", "/tokens"):
        answer = page.goto(f"{platform.url}{path}")
        assert answer is not None
        assert answer.status == 200, path
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path


def test_wrong_password_says_so(platform: Platform, page: Page) -> None:
    page.goto(f"{platform.url}/login")
    page.get_by_label("Email").fill("ada@example.org")
    page.get_by_label("Password").fill("not the password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()


def test_keyboard_reaches_the_sign_in(platform: Platform, page: Page) -> None:
    page.goto(f"{platform.url}/login")
    page.get_by_label("Email").focus()
    page.keyboard.type("ada@example.org")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Projects")).to_be_visible()
