"""What a contained step can reach, on a machine of its own with public, private and loopback servers."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.sandbox.sandbox_machines import Outcome, py

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="makes a machine of its own: needs root")

Run = Callable[..., list[Outcome]]
FETCH = "import urllib.request as u; print(u.urlopen('{}', timeout=5).read().decode())"


@pytest.mark.parametrize(
    ("url", "egress"),
    [
        ("http://public.test/", {}),
        ("http://registry.npmjs.org:443/", {}),
        ("http://internal.test/", {"allow": ["internal.test"]}),
        ("http://internal.test/", {"allow": ["internal.test:80"]}),
        ("http://internal.test/", {"allow": ["10.1.0.0/16"]}),
        ("http://10.1.2.3/", {"allow": ["10.1.0.0/16"]}),
        ("http://10.1.2.3:8099/", {"allow": ["10.1.2.3:8099"]}),
        ("http://127.0.0.1:8099/", {"allow": ["127.0.0.1:8099"]}),
        ("http://localhost:8099/", {"allow": ["localhost:8099"]}),
        ("http://rebind.test:8099/", {"allow": ["127.0.0.1:8099"]}),
        ("http://127.0.0.1:8099/", {"allow_private": True, "ports": [8099]}),
        ("http://10.1.2.3/", {"allow_private": True}),
        ("http://internal.test/", {"allow_private": True}),
    ],
)
def test_a_step_reaches_what_it_may(url: str, egress: dict[str, Any], run_steps: Run) -> None:
    (outcome,) = run_steps(py(FETCH.format(url), egress=egress), private_network=True)
    assert outcome.stdout == "canary\n", outcome


@pytest.mark.parametrize(
    ("url", "egress"),
    [
        ("http://internal.test/", {"allow": ["internal.test:8099"]}),
        ("http://internal.test/", {"allow": ["other.test"]}),
        ("http://10.1.2.3/", {"allow": ["10.2.0.0/16"]}),
        ("http://127.0.0.1/", {"allow": ["127.0.0.1:8099"]}),
        ("http://169.254.169.254/", {"allow_private": True}),
        ("http://metadata.test/", {"allow_private": True}),
    ],
)
def test_an_exception_opens_no_more_than_it_says(url: str, egress: dict[str, Any], run_steps: Run) -> None:
    (outcome,) = run_steps(py(FETCH.format(url), egress=egress), private_network=True)
    assert "canary" not in outcome.stdout
    assert not outcome.ok


def test_an_exception_for_one_step_is_gone_in_the_next(run_steps: Run) -> None:
    fetch = FETCH.format("http://10.1.2.3:8099/")
    clone, install = run_steps(
        py(fetch, egress={"allow_private": True, "ports": [8099]}), py(fetch, egress={}), private_network=True
    )
    assert clone.ok
    assert not install.ok


def test_a_name_that_does_not_exist_fails_as_such(run_steps: Run) -> None:
    script = (
        "import socket\ntry: socket.getaddrinfo('nowhere.invalid', 80)\nexcept socket.gaierror as e: print(e.errno)"
    )
    (outcome,) = run_steps(py(script, egress={}), private_network=True)
    assert outcome.stdout == "-2\n"
    assert "nowhere.invalid" in outcome.notices[0]


def test_many_connections_work_one_after_the_other(run_steps: Run) -> None:
    script = """
import urllib.request as u
print(all(u.urlopen('http://public.test/', timeout=10).read() == b'canary' for _ in range(50)))
"""
    (outcome,) = run_steps(py(script, egress={}), private_network=True)
    assert outcome.stdout == "True\n", outcome
