"""Limits of whole builds: hitting one ends a build with its own code; the same script below the limit is published."""

import os

import pytest

from tests.hostile.conftest import Ran
from tests.hostile.hostile_builds import BUILDS

pytestmark = [
    pytest.mark.hostile,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="makes a machine of its own: needs root"),
]

CODES = {
    "memory": "out_of_memory",
    "memory-swarm": "out_of_memory",
    "fork-bomb": "process_limit",
    "fork-bomb-aside": "process_limit",
    "open-files": "open_files_limit",
    "disk": "disk",
    "disk-files": "disk",
    "disk-deep": "disk",
    "stubborn": "timeout",
    "log-lines": "log_limit",
    "log-empty-lines": "log_limit",
    "log-long-line": "log_limit",
    "files": "output_too_many_files",
    "size": "output_too_large",
    "size-sparse": "output_too_large",
    "path": "path_too_long",
    "deep-no-output": "output_directory_not_found",
    "output-is-a-link": "output_not_a_folder",
    "output-below-a-link": "output_not_a_folder",
    "output-outside": "invalid_output_directory",
    "output-is-a-file": "output_not_a_folder",
    "unicode-collision": "path_collision",
    "name-not-utf8": "path_invalid",
    "name-with-escapes": "path_invalid",
    "masked": "path_invalid",
    "kill-everybody": "build_failed",
    "kill-parent": "build_failed",
    "closed-workspace": "output_unreadable",
    "closed-by-install": "root_directory_not_found",
    "half-a-character": "invalid_ignore_command",
    "endless-argument": "invalid_ignore_command",
    "odd-folder": "output_directory_not_found",
    "nested-package-json": "invalid_package_json",
}
BELOW = [
    "bystander",
    *(
        "memory-below",
        "memory-swarm-below",
        "fork-bomb-below",
        "open-files-below",
        "disk-below",
        "disk-files-below",
        "deep-shallow",
        "deep",
        "stubborn-below",
    ),
    *("log-lines-below", "log-long-line-below", "files-below", "size-below", "path-below"),
    *("output-inside", "name-below", "case-collision", "noise", "names", "odd-files", "planted", "swap"),
    *("secret-in-page", "log-returns", "deep-repository", "removed-home"),
    *("rules-half-a-character", "rules-nested", "rules-are-pipes"),
]


def marked(names: list[str]) -> list[object]:
    return [pytest.param(n, marks=() if BUILDS[n].group == "essential" else pytest.mark.matrix) for n in names]


@pytest.mark.parametrize("build", marked(list(CODES)))
def test_its_own_code_and_a_failure_of_the_builds_own(build: str, ran: Ran) -> None:
    result = ran(build)
    assert (result.code, result.infrastructure) == (CODES[build], False), (result.message, result.agent_log)
    assert result.message
    assert result.files == {}


@pytest.mark.parametrize("build", marked(BELOW))
def test_below_its_limit_it_is_published(build: str, ran: Ran) -> None:
    result = ran(build)
    assert (result.code, "/index.html" in result.files) == (None, True), (result.message, result.agent_log)


@pytest.mark.parametrize("build", marked([*CODES, *BELOW]))
def test_nothing_is_left_of_it(build: str, ran: Ran) -> None:
    result = ran(build)
    assert (result.left, result.stop_problem, result.survivors) == ([], "", 0)
    assert result.seqs, "the log has a gap"


def test_a_bystander_does_not_notice(ran: Ran) -> None:
    assert "undisturbed" in ran("bystander").lines


@pytest.mark.matrix
def test_the_fork_bomb_was_stopped_by_the_limit(ran: Ran) -> None:
    assert "made 150" not in ran("fork-bomb").text
    assert "more processes and threads than its 60" in ran("fork-bomb").message
    assert "made 150" in ran("fork-bomb-below").text


@pytest.mark.matrix
def test_sigterm_was_ignored_in_vain(ran: Ran) -> None:
    assert "still here" in ran("stubborn").lines
    assert ran("stubborn").took_s < 20


@pytest.mark.matrix
def test_a_flood_ends_early_and_in_small_lines(ran: Ran) -> None:
    flood = ran("log-long-line")
    assert flood.longest <= 16 * 1024
    assert sum(map(len, flood.lines)) < 3 * 1024**2
    assert ran("log-long-line-below").longest == 16 * 1024
    assert sum("a" * 100 in line for line in ran("log-long-line-below").lines) == -(-1_000_000 // (16 * 1024))
