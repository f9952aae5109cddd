from pathlib import Path
from typing import Any

import pytest

from scalemesh.buildserver import failures
from scalemesh.core.build import Limits
from scalemesh.sandbox.step import StepResult

LIMITS = Limits(memory_bytes=1024**3, disk_bytes=2 * 1024**3, build_timeout_s=60)


def ended(exit_code: int = 1, reason: Any = "exited") -> StepResult:
    return StepResult(reason=reason, exit_code=exit_code, signal=None, duration_ms=1)


def of(tail: str, exit_code: int = 1, denied: tuple[str, ...] = (), workspace: Path = Path("/nowhere")) -> Any:
    return failures.of_command("build", "npm run build", ended(exit_code), LIMITS, tail, list(denied), workspace)


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
        ("error: The lockfile at `uv.lock` needs to be updated, but `--locked` was provided.", "lockfile_out_of_date"),
        ("error: The lockfile is out of date. Run `deno install --frozen=false`", "lockfile_out_of_date"),
        ('npm error Missing script: "build"', "no_build_script"),
        (" ERR_PNPM_NO_SCRIPT  Missing script: build", "no_build_script"),
        ('error Command "build" not found.', "no_build_script"),
        ('\x1b[31mUsage Error\x1b[39m: Couldn\'t find a script named "build".', "no_build_script"),
        ('error: Script not found "build"', "no_build_script"),
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


@pytest.mark.parametrize(
    "tail",
    [
        'npm error code EBADENGINE\nnpm error engine Not compatible\nnpm error Required: {"node":">=99"}',
        'error old@1.0.0: The engine "node" is incompatible with this module. Expected version ">=99". Got "24.1.0"',
        " ERR_PNPM_UNSUPPORTED_ENGINE  Unsupported environment\n\nExpected version: >=99\nGot: v24",
    ],
)
def test_node_that_a_package_asks_for(tail: str) -> None:
    error = of(tail)
    assert (error.code, error.message.partition(",")[0]) == ("node_version", "A package asks for Node >=99")


def test_a_warning_of_engines_is_no_cause() -> None:
    assert of("npm warn EBADENGINE Unsupported engine\nboom: not compatible").code == "build_failed"


@pytest.mark.parametrize(
    ("tail", "file"),
    [
        ('Could not resolve "./components/header" from "src/main.jsx"', "src/components/Header.jsx"),
        ("Module not found: Error: Can't resolve '../components/header.jsx' in '/src/x'", "src/components/Header.jsx"),
        ("error TS2307: Cannot find module '@/Components/Header' or its", "src/components/Header.jsx"),
        ('failed to resolve import "./pages/Home" from "/workspace/src/main.js"', "src/pages/home/index.ts"),
        ("Cannot find module '/workspace/src/components/header.jsx' imported from", "src/components/Header.jsx"),
    ],
)
def test_import_of_another_case(tail: str, file: str, tmp_path: Path) -> None:
    for name in ("src/components/Header.jsx", "src/pages/home/index.ts"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    error = of(tail, workspace=tmp_path)
    assert error.code == "case_sensitive_import"
    assert repr(file) in error.message


def test_import_of_something_that_is_there(tmp_path: Path) -> None:
    for name in ("Header.jsx", "src/header.jsx"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert of('Could not resolve "./header" from "main.js"', workspace=tmp_path).code == "build_failed"


def test_import_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "Header.jsx").touch()
    assert of('Could not resolve "./Footer" from "main.js"', workspace=tmp_path).code == "build_failed"
