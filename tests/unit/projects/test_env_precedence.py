"""The more particular variable wins."""

import pytest

from scalemesh.db.tables import EnvVar
from scalemesh.projects import Cipher, env

CIPHER = Cipher(bytes(range(32)))


def variable(value: str, target: str = "all", branch: str = "", key: str = "KEY", *, secret: bool = False) -> EnvVar:
    sealed = CIPHER.encrypt(value, env.context("prj_1", key, target, branch))
    return EnvVar(project_id="prj_1", key=key, target=target, branch=branch, value=sealed, secret=secret)


@pytest.mark.parametrize(
    ("target", "branch", "expected"),
    [
        ("production", "main", "production"),
        ("preview", "other", "preview"),
        ("preview", "draft", "preview on draft"),
        ("production", "draft", "any on draft"),
        ("preview", None, "preview"),
    ],
)
def test_precedence(target: str, branch: str | None, expected: str) -> None:
    rows = [
        variable("preview on draft", "preview", "draft"),
        variable("any on draft", "all", "draft"),
        variable("preview", "preview"),
        variable("production", "production"),
        variable("all", "all"),
    ]
    assert env.effective(rows, CIPHER, target, branch)[0] == {"KEY": expected}


def test_other_targets_and_branches_stay_out() -> None:
    rows = [variable("x", "production"), variable("y", "all", "draft", key="OTHER")]
    assert env.effective(rows, CIPHER, "preview", "main") == ({}, [])


def test_secret_is_what_the_chosen_one_says() -> None:
    rows = [variable("open", "all"), variable("hidden", "production", secret=True)]
    assert env.effective(rows, CIPHER, "production", None) == ({"KEY": "hidden"}, ["KEY"])
    assert env.effective(rows, CIPHER, "preview", None) == ({"KEY": "open"}, [])
