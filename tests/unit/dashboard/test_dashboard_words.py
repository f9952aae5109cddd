"""Values in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalemesh.core.build import STEPS
from scalemesh.dashboard import dotenv, words
from scalemesh.dashboard.progress import progress
from scalemesh.errors import InvalidInput
from scalemesh.logs import plain
from tests.unit.dashboard.memory_services import step

NOW = 1_700_000_000_000
AT = "2023-11-14T22:13:20.000Z"


@pytest.mark.parametrize(
    ("later_s", "expected"),
    [
        (0, "just now"),
        (44, "just now"),
        (50, "50 seconds ago"),
        (60, "1 minute ago"),
        (3600 * 5, "5 hours ago"),
        (86_400 * 40, "1 month ago"),
        (-10, "in a moment"),
        (-86_400 * 2, "in 2 days"),
    ],
)
def test_ago(later_s: int, expected: str) -> None:
    assert words.ago(AT, NOW + later_s * 1000) == expected


@pytest.mark.parametrize(
    ("milliseconds", "expected"),
    [(0, "0ms"), (820, "820ms"), (12_300, "12s"), (185_000, "3m 5s"), (3_840_000, "1h 4m"), (-5, "0ms")],
)
def test_took(milliseconds: int, expected: str) -> None:
    assert words.took(milliseconds) == expected


@pytest.mark.parametrize(
    ("url", "repository", "name", "ssh"),
    [
        ("https://github.com/acme/Shop.git", "acme/Shop", "shop", "git@github.com:acme/Shop.git"),
        ("git@github.com:acme/shop.git", "acme/shop", "shop", "git@github.com:acme/shop.git"),
        (
            "ssh://git@git.example.org:2222/a/b.git",
            "git.example.org:2222/a/b",
            "b",
            "ssh://git@git.example.org:2222/a/b.git",
        ),
        ("http://127.0.0.1:9000/x.git/", "127.0.0.1:9000/x", "x", ""),
        ("https://gitlab.com/a/b/c", "gitlab.com/a/b/c", "c", "git@gitlab.com:a/b/c.git"),
    ],
)
def test_repository_names(url: str, repository: str, name: str, ssh: str) -> None:
    assert words.repository(url) == repository
    assert words.project_name(url) == name
    assert words.ssh_url(url) == ssh


@given(st.text())
def test_a_suggested_name_is_a_host_label(url: str) -> None:
    name = words.project_name(url)

    assert len(name) <= 40
    assert name == name.strip("-")
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("\x1b[1;32mok\x1b[0m", "ok"),
        ("\x1b]8;;https://evil.example\x07link\x1b]8;;\x07", "link"),
        ("a\u202eb", "a<U+202E>b"),
        ("bell\x07", "bell<U+0007>"),
        ("tab\tkept, ümlaut 👩‍🚀 kept", "tab\tkept, ümlaut 👩‍🚀 kept"),
        ("\x1b alone", "<U+001B> alone"),
    ],
)
def test_plain_text(line: str, expected: str) -> None:
    assert plain.text(line) == expected


@given(st.text())
def test_plain_text_has_no_hidden_control(line: str) -> None:
    assert not any(
        (ord(c) < 32 and c != "\t") or 0x7F <= ord(c) < 0xA0 or 0x202A <= ord(c) <= 0x202E for c in plain.text(line)
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("# only a comment\n\n", {}),
        ("A=1\nexport B = two", {"A": "1", "B": "two"}),
        ('A="with # and \\n and \\""', {"A": 'with # and \n and "'}),
        ("A='raw \\n'", {"A": "raw \\n"}),
        ("A=x # why", {"A": "x"}),
        ("A=a#b", {"A": "a#b"}),
        ("A=1\nA=2", {"A": "2"}),
        ("URL=https://x/?a=b", {"URL": "https://x/?a=b"}),
        ("A=", {"A": ""}),
    ],
)
def test_variables(text: str, expected: dict[str, str]) -> None:
    assert dotenv.variables(text) == expected


@pytest.mark.parametrize("text", ["nonsense", "1A=x", "A B=x", "=x"])
def test_a_line_that_is_no_variable_is_named(text: str) -> None:
    with pytest.raises(InvalidInput, match="Line 2") as caught:
        dotenv.variables(f"OK=1\n{text}")
    assert caught.value.field == "env"


def test_progress_lists_every_step_in_order() -> None:
    shown = progress("building", [step("clone", 30, 1), step("detect", 29, 0.1), step("install", 28, None)])

    assert [each.step for each in shown] == list(STEPS)
    assert [each.mark for each in shown] == ["done", "done", "running", "waiting", "waiting"]
    assert [each.duration_ms for each in shown] == [1000, 100, None, None, None]


def test_progress_of_a_failure() -> None:
    shown = progress("error", [step("clone", 30, 1), step("detect", 29, 0.1), step("install", 28, 2, 1)])

    assert [each.mark for each in shown] == ["done", "done", "failed", "skipped", "skipped"]


def test_progress_of_a_step_that_was_cut_off() -> None:
    shown = progress("canceled", [step("clone", 30, None)])

    assert [each.mark for each in shown][:2] == ["failed", "skipped"]
    assert shown[0].started_at is None
