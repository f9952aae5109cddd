import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from scalemesh.cli import output
from scalemesh.cli.app import app, exit_code
from scalemesh.cli.deployments import _label
from scalemesh.errors import (
    BadSettings,
    Forbidden,
    InvalidInput,
    NotFound,
    ScaleMeshError,
    Unauthenticated,
    Unavailable,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InvalidInput("x"), 2),
        (NotFound("x"), 2),
        (BadSettings("x"), 2),
        (Unauthenticated("x"), 3),
        (Forbidden("x"), 3),
        (Unavailable("x"), 3),
    ],
)
def test_exit_codes(error: ScaleMeshError, code: int) -> None:
    assert exit_code(error) == code


@given(st.text())
def test_no_control_character_of_a_stranger_reaches_the_terminal(text: str) -> None:
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", output.safe(text, keep_colour=False))


@pytest.mark.parametrize(
    "attack", ["\x1b]0;title\x07", "\x1b]52;c;aGk=\x07", "\x1b[2J", "\x1bc", "\x1b[6n", "\r", "\x9b31m", "\x1b[31m"]
)
def test_terminal_escapes_are_taken_out(attack: str) -> None:
    assert output.safe(f"a{attack}b", keep_colour=False) in {"ab", "a31mb"}


def test_hidden_characters_are_named() -> None:
    assert output.safe("a\u202eb\u200bc\u200d") == "a<U+202E>b<U+200B>c\u200d"


@pytest.mark.parametrize(
    ("seconds", "says"), [(0.25, "0.2s"), (12, "12s"), (192, "3m 12s"), (18120, "5h 2m"), (9 * 86400, "9d")]
)
def test_durations(seconds: float, says: str) -> None:
    assert output.duration(seconds) == says


@given(st.text())
def test_any_name_makes_a_valid_label(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,48}[a-z0-9])?", _label(name))


def test_without_arguments_it_shows_help() -> None:
    shown = CliRunner().invoke(app, [])
    assert "deploy" in shown.output


def test_unknown_command_is_bad_usage() -> None:
    assert CliRunner().invoke(app, ["deploi"]).exit_code == 2


@pytest.mark.parametrize(
    ("wait", "shown"), [(None, "position 3"), (95, "position 3, about 1m 35s to wait")], ids=["unknown", "known"]
)
def test_place_in_the_queue(wait: int | None, shown: str) -> None:
    assert output.place({"position": 3, "expected_wait_s": wait}) == shown


def test_rows_of_a_table_are_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    url = "http://" + "long-name." * 20
    output.table(("ID", "URL"), [("dpl_1", url), ("dpl_22", "two\nlines")], empty="")
    assert capsys.readouterr().out.splitlines() == ["ID      URL", f"dpl_1   {url}", "dpl_22  two↵lines"]


def test_error_is_one_line_of_whole_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    output.error(InvalidInput("no such host:\nx", hint="Is it right?"))
    assert capsys.readouterr().err == "error: no such host: x. Is it right?\n"


@pytest.mark.parametrize("group", [[], ["projects"], ["env"]])
def test_help_fits_its_lines(group: list[str]) -> None:
    shown = CliRunner().invoke(app, [*group, "--help"], terminal_width=80).output
    assert "..." not in shown.replace("COMMAND [ARGS]...", "")


def test_status_that_is_none_is_bad_input() -> None:
    refused = CliRunner().invoke(app, ["access", "shop", "--status", "9xx"]).exception
    assert isinstance(refused, InvalidInput)


def test_collecting_makes_no_folder_where_there_was_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scalemesh.main.process.configure_log", lambda _level: None)  # for this process, and for good
    refused = CliRunner().invoke(app, ["gc", "--data-dir", str(tmp_path / "typo")]).exception
    assert isinstance(refused, BadSettings)
    assert not (tmp_path / "typo").exists()
