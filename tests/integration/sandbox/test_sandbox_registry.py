"""The real package registry through the DNS stub, the forwarder and the proxy."""

from collections.abc import Callable

from tests.integration.sandbox.sandbox_machines import Outcome, py, sh

Run = Callable[..., list[Outcome]]


def test_npm_installs_a_package(run_steps: Run) -> None:
    install, use = run_steps(
        sh("npm install --no-audit --no-fund --no-update-notifier is-number@7.0.0", egress={}),
        sh("node -p \"require('is-number')(7)\""),
    )
    assert install.ok, install.stderr
    assert use.stdout == "true\n"


def test_npm_without_network_fails(run_steps: Run) -> None:
    (outcome,) = run_steps(sh("npm view --fetch-retries=0 --no-update-notifier is-number version"))
    assert not outcome.ok


def test_python_fetches_by_name(run_steps: Run) -> None:
    script = (
        "import json, urllib.request as u; print(json.load(u.urlopen('https://registry.npmjs.org/is-number'))['name'])"
    )
    (outcome,) = run_steps(py(script, egress={}))
    assert outcome.stdout == "is-number\n", outcome.stderr
