"""What a stranger leaves behind: in the output directory, in the log, in its processes."""

import json
import os
import re

import pytest

from tests.hostile.conftest import Ran
from tests.hostile.hostile_builds import BUILDS, SECRET

pytestmark = [
    pytest.mark.hostile,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="makes a machine of its own: needs root"),
]


def test_links_and_special_files_are_left_out_and_named(ran: Ran) -> None:
    result = ran("odd-files")
    assert set(result.files) == {"/index.html", "/hard.txt"}
    assert result.files["/hard.txt"] == BUILDS["odd-files"].script
    for name in ("link", "linked-folder", "up", "loop", "fifo", "socket"):
        assert f"'{name}' is left out" in result.text
    assert "no hard link to the system" in result.text
    assert "no device" in result.text


def test_what_is_planted_beside_a_page_is_never_its_encoding(ran: Ran) -> None:
    result = ran("planted")
    assert result.files["/index.html.br"] == "PLANTED\n"
    assert "br" in result.variants["/index.html"]
    assert result.variant_hashes["/index.html"] != result.hashes["/index.html.br"]
    assert result.variants["/index.html.br"] == []


@pytest.mark.matrix
def test_case_collisions_are_reported(ran: Ran) -> None:
    assert "/Readme and /README differ in case alone" in ran("case-collision").text


@pytest.mark.matrix
def test_names_are_shown_without_their_escapes(ran: Ran) -> None:
    for build in ("name-not-utf8", "name-with-escapes"):
        result = ran(build)
        assert "\x1b" not in result.message + result.text
        assert "\n" not in result.message


@pytest.mark.matrix
def test_nobody_swaps_folders_while_they_are_packed(ran: Ran) -> None:
    contained, control = ran("swap"), ran("swap", "none")
    assert set(contained.files) - {"/index.html"} <= {"/folder/passwd", "/aside/passwd"}
    assert set(contained.files.values()) <= {"fine\n", "real\n"}
    assert contained.survivors == 0
    assert control.survivors > 0, "the daemon should outlive a build that nothing contains"
    assert control.left == []
    assert control.code in {None, "output_unreadable"}
    assert set(control.files.values()) <= {"fine\n", "real\n"}


@pytest.mark.matrix
def test_killing_the_parent_kills_nothing_of_the_platforms(ran: Ran) -> None:
    for build in ("kill-everybody", "kill-parent"):
        assert ran(build).message.startswith("`sh build.sh` ended with exit code 137.")
    assert "about to" in ran("kill-everybody").lines


def test_secrets_are_masked_in_the_log_and_in_the_failure(ran: Ran) -> None:
    result = ran("masked")
    lines = [line for line in result.lines if re.match("plain|base64|url|error|cut", line)]
    assert len(lines) == 5, result.text
    assert all("[redacted]" in line for line in lines), lines
    told = "\n".join([result.text, result.message, *result.details])
    assert not any(piece in told for piece in (SECRET, SECRET[8:], "tok%2Fen", "6dG9rL2VuK3dpdG"))


@pytest.mark.matrix
def test_what_is_not_secret_is_not_masked(ran: Ran) -> None:
    assert f"plain {SECRET}" in ran("not-masked").lines
    assert "tok%2Fen" in ran("not-masked").message


@pytest.mark.matrix
def test_the_owner_may_publish_a_secret_but_the_log_does_not_show_it(ran: Ran) -> None:
    assert ran("secret-in-page").files == {"/index.html": f"{SECRET}\n"}
    assert "[redacted]" in ran("secret-in-page").lines


@pytest.mark.matrix
def test_any_bytes_become_valid_lines(ran: Ran) -> None:
    result = ran("noise")
    assert any("\ufffd\ufffd broken \ufffd" in line for line in result.lines), result.lines
    assert "\0" not in result.text


@pytest.mark.matrix
def test_variables_arrive_as_they_are_and_open_nothing(ran: Ran) -> None:
    result = ran("names")
    (shown,) = [line for line in result.lines if line.startswith("NAMES ")]
    given = BUILDS["names"].env
    kept = {name: given[name] for name in ("A_QUOTES", "A_LINES", "A_UNICODE", "NODE_OPTIONS", "plain")}
    assert json.loads(shown.removeprefix("NAMES ")) == kept
    assert "OWNED False" in result.lines, "git ran a variable of the project's while it cloned"
