"""`make push-images`: which programs it runs, in which order, with what. They write down how they were called."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
ECR = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
PROGRAM = """#!{python}
import json, os, sys
name, stdin = os.path.basename(sys.argv[0]), "" if sys.stdin.isatty() else sys.stdin.read()
with open({calls!r}, "a") as calls:
    calls.write(json.dumps([name, *sys.argv[1:], stdin]) + "\\n")
if name == "aws":
    print("the-password")
sys.exit(os.environ.get("FAILS") == sys.argv[1])
"""


def push(tmp_path: Path, registry: str, *programs: str, **env: str) -> tuple[int, str, list[list[str]]]:
    calls = tmp_path / "calls"
    for name in programs:
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(PROGRAM.format(python=sys.executable, calls=str(calls)))
        program.chmod(0o755)
    done = subprocess.run(
        [sys.executable, ROOT / "deploy/images/push.py", registry],
        env={"PATH": str(tmp_path / "bin")} | env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    made: list[Any] = [json.loads(line) for line in calls.read_text().splitlines()] if calls.exists() else []
    return done.returncode, done.stderr, made


def of_one(engine: str, registry: str, target: str) -> list[list[str]]:
    tags = [f"{registry}/{target}:{VERSION}", f"{registry}/{target}:latest"]
    file = ["--file", str(ROOT / "deploy/images/Dockerfile"), "--target", target]
    build = [engine, "build", *file, "--tag", tags[0], "--tag", tags[1], str(ROOT), ""]
    return [build, *([engine, "push", tag, ""] for tag in tags)]


def test_builds_and_pushes_each_image(tmp_path: Path) -> None:
    code, _, calls = push(tmp_path, "ghcr.io/acme/", "docker", "aws")
    assert (code, calls) == (
        0,
        [*of_one("docker", "ghcr.io/acme", "build-server"), *of_one("docker", "ghcr.io/acme", "scalemesh")],
    )


def test_logs_in_to_ecr_first_and_the_password_is_no_argument(tmp_path: Path) -> None:
    code, _, calls = push(tmp_path, f"{ECR}/scalemesh", "podman", "aws", ENGINE="podman")
    assert code == 0
    assert calls[:2] == [
        ["aws", "ecr", "get-login-password", "--region", "eu-central-1", ""],
        ["podman", "login", "--username", "AWS", "--password-stdin", ECR, "the-password\n"],
    ]
    assert calls[2:5] == of_one("podman", f"{ECR}/scalemesh", "build-server")


@pytest.mark.parametrize("registry", ["", "https://ghcr.io/acme", "a b", "-rm", "ghcr.io/../x", "ghcr.io/a;id"])
def test_what_is_no_registry_is_refused_before_anything_runs(tmp_path: Path, registry: str) -> None:
    code, said, calls = push(tmp_path, registry, "docker")
    assert (code, calls) == (1, [])
    assert "REGISTRY" in said


@pytest.mark.parametrize(("fails", "last"), [("build", "build"), ("push", "push")])
def test_it_ends_where_something_fails(tmp_path: Path, fails: str, last: str) -> None:
    code, said, calls = push(tmp_path, "ghcr.io/acme", "docker", FAILS=fails)
    assert (code, calls[-1][1]) == (1, last)
    assert said == f"docker {fails} ended with 1.\n"


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert push(tmp_path, "ghcr.io/acme", "aws")[:2] == (1, "There is no program 'docker': install it first.\n")


def test_every_target_is_in_the_dockerfile_and_in_aws() -> None:
    dockerfile = (ROOT / "deploy/images/Dockerfile").read_text()
    template = (ROOT / "deploy/aws/scalemesh.yaml").read_text()
    for target in ("build-server", "scalemesh"):
        assert f"AS {target}\n" in dockerfile
        assert f'RepositoryName: !Sub "${{AWS::StackName}}/{target}"' in template


def test_make_says_what_it_wants() -> None:
    done = subprocess.run(
        ["make", "--dry-run", "push-images", "REGISTRY=ghcr.io/acme", "ENGINE=podman"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "ENGINE='podman' .venv/bin/python deploy/images/push.py 'ghcr.io/acme'" in done.stdout
