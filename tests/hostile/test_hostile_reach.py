"""What a build must not reach: each attack works where nothing contains the build, and fails in the sandbox."""

import os

import pytest

from tests.hostile.conftest import Ran
from tests.hostile.hostile_attacks import ATTACKS, label

pytestmark = [
    pytest.mark.hostile,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="makes a machine of its own: needs root"),
]

EACH = [pytest.param(name, marks=() if attack.essential else pytest.mark.matrix) for name, attack in ATTACKS.items()]
RUNS = [pytest.param("essential-attacks"), pytest.param("other-attacks", marks=pytest.mark.matrix)]


def run_of(attack: str) -> str:
    return "essential-attacks" if ATTACKS[attack].essential else "other-attacks"


@pytest.mark.parametrize("attack", EACH)
def test_the_attack_works_where_nothing_contains_it(attack: str, ran: Ran) -> None:
    control = ran(run_of(attack), "none")
    assert control.succeeded(label(attack)), control.said(label(attack))


@pytest.mark.parametrize("attack", EACH)
def test_the_attack_is_contained(attack: str, ran: Ran) -> None:
    contained = ran(run_of(attack))
    assert contained.finished(label(attack)), contained.text
    assert not contained.succeeded(label(attack)), contained.said(label(attack))


@pytest.mark.parametrize("sandbox", ["none", "bubblewrap"])
@pytest.mark.parametrize("build", RUNS)
def test_what_is_public_is_reached_and_the_site_published(build: str, sandbox: str, ran: Ran) -> None:
    result = ran(build, sandbox)
    assert "public" in result.said("control"), result.text
    assert result.files == {"/index.html": "ran\n"}, result.message
    assert "scalemesh" not in result.agent_log


@pytest.mark.parametrize("build", RUNS)
def test_nothing_is_left_of_it(build: str, ran: Ran) -> None:
    result = ran(build)
    assert (result.left, result.stop_problem, result.survivors) == ([], "", 0)


@pytest.mark.matrix
def test_the_log_says_what_was_refused(ran: Ran) -> None:
    assert "egress denied: internal.test: 10.1.2.3 is a private" in ran("other-attacks").text
