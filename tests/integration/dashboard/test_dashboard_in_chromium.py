"""What the scripts promise, in a real browser."""

import asyncio
import re
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from scalemesh.core.clock import now_ms
from scalemesh.core.logs import Level, LogLine
from scalemesh.testing.access_contract import batch, record
from tests import browser as chromium
from tests.integration.dashboard.log_site import Line, LogSite, line, serving

FLAGS = [
    "--no-sandbox",  # the tests may run as root
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
END: Line = {"type": "end", "state": "ready"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = chromium.path()
    assert executable, "run `make test`, which installs Chromium"
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=executable, args=FLAGS)
        expect.set_options(timeout=20_000)  # a loaded machine draws 3,000 lines in seconds
        yield launched
        expect.set_options()
        launched.close()


@pytest.fixture
def site() -> Iterator[LogSite]:
    with serving(LogSite()) as running:
        yield running


@pytest.fixture
def page(browser: Browser, site: LogSite) -> Iterator[Page]:
    """Signed in. Fails on any script error and on anything that the content security policy stopped."""
    context = browser.new_context()
    context.set_default_timeout(15_000)
    context.add_cookies([{"name": "scalemesh", "value": "secret", "url": site.url}])
    opened = context.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda said: problems.append(said.text) if "Content Security" in said.text else None)
    yield opened
    context.close()
    assert problems == []


def numbers(page: Page) -> list[int]:
    shown: list[int] = page.eval_on_selector_all(".line-no", "all => all.map(each => Number(each.dataset.n))")
    return shown


def test_every_line_once_and_in_order_across_lost_connections(page: Page, site: LogSite) -> None:
    site.plays = [
        [line(0, "a"), line(1, "b"), None],
        [line(1, "b"), line(2, "c"), None],  # repeats
        [line(4, "e"), None],  # leaves one out: it is asked for again
        [line(3, "d"), line(4, "e"), END],
    ]
    page.goto(f"{site.url}/deployments/dpl_1")
    expect(page.locator(".line")).to_have_count(5)

    assert numbers(page) == [1, 2, 3, 4, 5]
    assert site.after == [-1, 1, 2, 2]


def test_a_gap_that_stays_is_shown_rather_than_waited_for(page: Page, site: LogSite) -> None:
    site.plays = [[line(0, "a"), line(2, "c"), END]]
    page.goto(f"{site.url}/deployments/dpl_1")
    expect(page.locator(".line")).to_have_count(2)

    assert numbers(page) == [1, 3]


def test_lines_that_never_come_are_named_in_their_place(page: Page, site: LogSite) -> None:
    site.plays = [[line(0, "a"), {"type": "skipped", "first": 1, "last": 3}, line(4, "e"), END]]
    page.goto(f"{site.url}/deployments/dpl_1")
    expect(page.locator(".line")).to_have_count(3)
    expect(page.locator(".line").nth(1)).to_contain_text("Lines 2 to 4 were never written, or deleted.")


def test_a_proxy_that_lets_no_websocket_through_is_polled_around(page: Page, site: LogSite) -> None:
    site.refuses = True
    site.lines = [line(0, "a"), line(1, "b")]
    site.set_state("ready")
    page.goto(f"{site.url}/deployments/dpl_1")

    expect(page.locator(".line")).to_have_count(2)
    assert site.polled[0] == -1


def test_output_is_text_with_allowed_colours_and_nothing_hidden(page: Page, site: LogSite) -> None:
    hostile = "\x1b[31mred\x1b[0m <img src=x onerror=alert(1)> \u202eltr \x07 \x1b[38;2;10;200;10mrgb\x1b[48;5;21mbg"
    site.plays = [[line(0, hostile), END]]
    page.goto(f"{site.url}/deployments/dpl_1")
    text = page.locator(".line-text")

    expect(text).to_have_text("red <img src=x onerror=alert(1)> U+202Eltr U+0007 rgbbg")
    assert page.locator(".line-text img").count() == 0
    expect(page.locator(".a-red")).to_have_text("red")
    expect(page.locator(".control").first).to_have_text("U+202E")
    classes = set(page.eval_on_selector_all(".line-text *", "all => all.flatMap(each => [...each.classList])"))
    assert classes == {"a-red", "a-green", "b-blue", "control"}


def test_steps_head_their_lines(page: Page, site: LogSite) -> None:
    site.plays = [[line(0, "x", "clone"), line(1, "y", "build"), line(2, "z", "build"), END]]
    page.goto(f"{site.url}/deployments/dpl_1")

    expect(page.locator(".log-step")).to_have_text(["Clone", "Build"])


def test_follows_the_end_until_scrolled_up(page: Page, site: LogSite) -> None:
    site.plays = [[line(n, f"line {n}") for n in range(1000)]]
    page.goto(f"{site.url}/deployments/dpl_1")
    follow = page.get_by_role("button", name="Follow")
    expect(page.get_by_text("line 999", exact=True)).to_be_in_viewport()
    expect(follow).to_have_attribute("aria-pressed", "true")

    page.get_by_role("log").hover()
    page.mouse.wheel(0, -3000)
    expect(follow).to_have_attribute("aria-pressed", "false")
    follow.click()

    expect(page.get_by_text("line 999", exact=True)).to_be_in_viewport()


def test_a_link_to_a_line_leads_there(page: Page, site: LogSite) -> None:
    site.plays = [[*[line(n, f"line {n}") for n in range(1000)], END]]
    page.goto(f"{site.url}/deployments/dpl_1#L400")

    expect(page.get_by_text("line 399", exact=True)).to_be_in_viewport()
    expect(page.locator(".is-linked .line-text")).to_have_text("line 399")


@pytest.mark.matrix
def test_a_hundred_thousand_lines_are_scrolled_through_with_few_in_the_page(page: Page, site: LogSite) -> None:
    site.plays = [[*[line(n, f"line {n}") for n in range(100_000)], END]]
    page.goto(f"{site.url}/deployments/dpl_1#L50000")
    page.set_default_timeout(60_000)
    expect(page.get_by_text("line 49999", exact=True)).to_be_in_viewport(timeout=60_000)
    log = page.get_by_role("log")
    log.focus()
    page.keyboard.press("End")
    expect(page.get_by_text("line 99999", exact=True)).to_be_in_viewport(timeout=60_000)
    page.keyboard.press("Home")
    expect(page.get_by_text("line 0", exact=True)).to_be_in_viewport(timeout=60_000)
    assert page.locator(".line").count() < 2000


def test_search_marks_and_leads_to_each_hit(page: Page, site: LogSite) -> None:
    site.plays = [[*[line(n, f"\x1b[31mLine\x1b[0m {n}!") for n in range(3000)], END]]
    page.goto(f"{site.url}/deployments/dpl_1")
    expect(page.get_by_text("Line 2999!", exact=True)).to_be_in_viewport()  # all have come
    page.keyboard.press("/")
    page.keyboard.type(" 1999!")
    expect(page.locator("[data-log-hits]")).to_have_text("1 line")
    page.keyboard.press("Enter")
    expect(page.locator("[data-log-hits]")).to_have_text("1 of 1")
    expect(page.locator("mark")).to_be_in_viewport()
    expect(page.locator("#L2000")).to_have_class(re.compile("is-linked"))
    page.keyboard.press("Escape")
    expect(page.locator("mark")).to_have_count(0)


def test_search_is_for_what_is_seen(page: Page, site: LogSite) -> None:
    site.plays = [[line(0, "\x1b[31mERR\x1b[1mOR\x1b[0m: no \u200bsuch file"), line(1, "31m"), END]]
    page.goto(f"{site.url}/deployments/dpl_1")
    field, hits, marks = page.locator("[data-log-search]"), page.locator("[data-log-hits]"), page.locator("mark")
    field.fill("error: no u+200bsuch")
    expect(hits).to_have_text("1 line")
    assert "".join(marks.all_text_contents()) == "ERROR: no U+200Bsuch"
    field.fill("31m")
    expect(hits).to_have_text("1 line")
    expect(marks).to_have_text(["31m"])


def test_the_end_of_the_log_refreshes_the_page_around_it(page: Page, site: LogSite) -> None:
    site.plays = [[line(0, "a")]]
    page.goto(f"{site.url}/deployments/dpl_1")
    expect(page.get_by_text("Building", exact=True)).to_be_visible()
    expect(page.locator(".line")).to_have_count(1)

    site.set_state("ready")

    expect(page.get_by_text("Ready", exact=True)).to_be_visible()
    expect(page.get_by_role("link", name="Visit")).to_be_visible()
    expect(page.locator(".line")).to_have_count(1)
    assert page.title().startswith("Ready")


def test_a_form_is_sent_once(page: Page, site: LogSite) -> None:
    site.set_state("ready")
    site.plays = [[END]]
    page.goto(f"{site.url}/deployments/dpl_1")
    with page.expect_response(lambda response: response.request.method == "POST"):
        page.get_by_role("button", name="Redeploy").dblclick()
    page.wait_for_load_state()

    assert [call[0] for call in site.services.deployments.calls] == ["redeploy"]


def test_keyboard_skips_to_the_content_first(page: Page, site: LogSite) -> None:
    page.goto(f"{site.url}/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")

    expect(page.get_by_role("link", name="New project")).to_be_focused()


def test_wrong_field_is_in_sight_and_has_the_focus(page: Page, site: LogSite) -> None:
    page.goto(f"{site.url}/projects/shop/settings")
    page.get_by_label("Builds at once").fill("many")
    page.get_by_role("button", name="Save queue settings").click()

    expect(page.get_by_label("Builds at once")).to_be_focused()
    expect(page.get_by_label("Builds at once")).to_be_in_viewport()


def test_escape_closes_a_menu(page: Page, site: LogSite) -> None:
    page.goto(f"{site.url}/")
    page.get_by_label("Account of").click()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    page.keyboard.press("Escape")

    expect(page.get_by_role("button", name="Sign out")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_no_page_is_wider_than_the_screen(page: Page, site: LogSite, width: int, scheme: str) -> None:
    site.services.fill()
    site.plays = [[line(0, "x" * 5000), END]]
    page.set_viewport_size({"width": width, "height": 740})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    fill_access(site)
    fill_search(site)
    for path in every_page(site):
        page.goto(site.url + path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path


@pytest.mark.parametrize(("width", "is_filled"), [(390, True), pytest.param(1280, False, marks=pytest.mark.matrix)])
def test_axe_finds_nothing_to_mend(page: Page, site: LogSite, width: int, *, is_filled: bool) -> None:
    """Labels, roles, headings, focus, target sizes: https://github.com/dequelabs/axe-core"""
    if is_filled:
        site.services.fill()
        fill_access(site)
        fill_search(site)
    site.plays = [[line(0, "plain"), line(1, "wrong", level="error"), END]]
    page.set_viewport_size({"width": width, "height": 740})
    axe = Axe()
    for path in every_page(site):
        page.goto(site.url + path)
        found = axe.run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"]})
        assert found.violations_count == 0, f"{path}\n{found.generate_report()}"


def every_page(site: LogSite) -> list[str]:
    tabs = ["", "/settings", "/env", "/access", "/logs", "/logs?q=tax", "/delete"]
    deployments = [f"/deployments/{each.id}" for each in site.services.deployments.all[:4]]
    return ["/", "/new", "/tokens", "/login", "/nowhere", *(f"/projects/shop{tab}" for tab in tabs), *deployments]


def fill_access(site: LogSite) -> None:
    """Requests of every class, one with a path longer than any screen."""
    project = site.services.projects.all[0].id
    rows = [record(now_ms(), project=project, status=status, path="/a" * 200) for status in (200, 304, 404, 503)]
    elsewhere(site.services.logs.access.append([batch(1, *rows)]))


def fill_search(site: LogSite) -> None:
    """Lines of every level with `tax`, one longer than any screen."""
    search = site.services.deployments.log
    search.deployments = ["dpl_1", "dpl_2"]
    for deployment in search.deployments:
        facts = {"deployment": deployment, "attempt": 1, "ts": 0}
        levels: tuple[Level, ...] = ("info", "warn", "error", "debug")
        lines = [LogLine(**facts, seq=seq, level=level, text="tax " * 100) for seq, level in enumerate(levels)]
        elsewhere(search.archive.append(lines))


def elsewhere(work: Coroutine[Any, Any, None]) -> None:
    """This thread has Playwright's event loop."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


CONTRAST = (Path(__file__).parent / "contrast.js").read_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_contrast_meets_wcag_aa(page: Page, site: LogSite, scheme: str) -> None:
    """https://www.w3.org/TR/WCAG22/#contrast-minimum"""
    site.services.fill()
    site.plays = [[line(0, "plain"), line(1, "wrong", level="error"), line(2, "hm", level="warn"), END]]
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    fill_access(site)
    fill_search(site)
    for path in [
        "/",
        "/new",
        "/tokens",
        "/projects/shop",
        "/projects/shop/env",
        "/projects/shop/access",
        "/projects/shop/logs?q=tax",
    ]:
        page.goto(site.url + path)
        assert page.evaluate(CONTRAST) == [], path
    for deployment in site.services.deployments.all[:3]:
        page.goto(f"{site.url}/deployments/{deployment.id}")
        expect(page.locator(".line")).to_have_count(3)
        assert page.evaluate(CONTRAST) == [], deployment.state


def test_forms_work_without_scripts(browser: Browser, site: LogSite) -> None:
    context = browser.new_context(java_script_enabled=False)
    context.set_default_timeout(15_000)
    page = context.new_page()
    page.goto(f"{site.url}/new")
    page.get_by_label("Email").fill("ada@example.org")
    page.get_by_label("Password").fill("correct horse")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Repository URL").fill("https://github.com/acme/blog")
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Deploy").click()

    assert [call[0] for call in site.services.deployments.calls] == ["create"]
    context.close()


def test_log_without_scripts_is_a_link_to_the_text(browser: Browser, site: LogSite) -> None:
    context = browser.new_context(java_script_enabled=False)
    context.add_cookies([{"name": "scalemesh", "value": "secret", "url": site.url}])
    page = context.new_page()
    page.goto(f"{site.url}/deployments/dpl_1")

    assert page.get_by_role("link", name="Read it as text").get_attribute("href") == "/deployments/dpl_1/log.txt"
    context.close()
