from typing import Any

import pytest

from scalemesh.buildserver import failures
from scalemesh.core.build import Limits
from scalemesh.sandbox.step import StepResult

LIMITS = Limits(memory_bytes=1024**3, disk_bytes=2 * 1024**3, build_timeout_s=60)


def ended(exit_code: int = 1, reason: Any = "exited") -> StepResult:
    return StepResult(reason=reason, exit_code=exit_code, signal=None, duration_ms=1)


def of(tail: str, exit_code: int = 1, denied: tuple[str, ...] = ()) -> Any:
    return failures.of_command("build", "npm run build", ended(exit_code), LIMITS, tail, list(denied))


def test_exit_code_and_command_are_named() -> None:
    assert failures.sentence(of("boom", 3)) == (
        "`npm run build` ended with exit code 3. The last lines of the log say why."
    )


@pytest.mark.parametrize(
    ("tail", "code"),
    [
        ("npm error `npm ci` can only install packages when your package.json and", "lockfile_out_of_date"),
        (" ERR_PNPM_OUTDATED_LOCKFILE  Cannot install with", "lockfile_out_of_date"),
        ("YN0028: │ The lockfile would have been modified by this install", "lockfile_out_of_date"),
        ("error: lockfile had changes, but lockfile is frozen", "lockfile_out_of_date"),
        ("FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory", "out_of_memory"),
        ("Error: ENOSPC: no space left on device, write", "disk"),
        ('npm error Missing script: "build"', "no_build_script"),
        ("sh: 0: Cannot fork", "process_limit"),
        ("bash: fork: retry: Resource temporarily unavailable", "process_limit"),
        ("Error: spawn node EAGAIN", "process_limit"),
        ("Error: EMFILE: too many open files, open 'x'", "open_files_limit"),
        ("OSError: [Errno 24] Too many open files: 'x'", "open_files_limit"),
        ("read: Resource temporarily unavailable", "build_failed"),
        ("something else", "build_failed"),
    ],
)
def test_causes(tail: str, code: str) -> None:
    assert of(tail).code == code


@pytest.mark.parametrize(
    ("reason", "code"),
    [("memory", "out_of_memory"), ("disk", "disk"), ("processes", "process_limit"), ("timeout", "timeout")],
)
def test_limits(reason: str, code: str) -> None:
    error = failures.of_limit(ended(137, reason), LIMITS)
    assert error is not None
    assert error.code == code


def test_no_limit() -> None:
    assert failures.of_limit(ended(1), LIMITS) is None


def test_denied_egress_is_the_cause_where_the_command_could_not_connect() -> None:
    denied = ("egress denied: db.internal:5432: 10.0.0.1 is a private address",)
    assert of("connect ECONNREFUSED", denied=denied).code == "egress_denied"
    assert "db.internal:5432" in of("connect ECONNREFUSED", denied=denied).message


def test_denied_telemetry_is_not_the_cause_of_a_type_error() -> None:
    assert of("src/x.ts: type error", denied=("egress denied: telemetry",)).code == "build_failed"
