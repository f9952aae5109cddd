"""Builds the images and pushes them: `python deploy/images/push.py REGISTRY` (`make push-images REGISTRY=…`).

REGISTRY is a host with the path that the images lie in: `ghcr.io/acme`, or what deploy/aws puts out as `Registry`. Each
image gets the version as its tag, and `latest`. ECR is logged in to with AWS's command line; anywhere else whoever runs
this has logged in before. ENGINE names the program: docker, podman or buildah.
"""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
TARGETS = ("build-server", "scalemesh")
_ECR = re.compile(r"(?P<host>\d{12}\.dkr\.ecr(-fips)?\.(?P<region>[a-z0-9-]+)\.(amazonaws\.com(\.cn)?|on\.aws))(/.*)?")
_REGISTRY = re.compile(r"[a-z0-9][a-z0-9.-]*(:\d+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")


def main(registry: str) -> None:
    """Exits with what failed."""
    registry = registry.rstrip("/")
    if not _REGISTRY.fullmatch(registry):
        sys.exit(f"REGISTRY={registry!r} names no registry. For example: make push-images REGISTRY=ghcr.io/acme")
    engine = os.environ.get("ENGINE") or "docker"
    if found := _ECR.fullmatch(registry):
        _log_in(engine, found["host"], found["region"])
    for target in TARGETS:
        tags = [f"{registry}/{target}:{tag}" for tag in (_version(), "latest")]
        named = [word for tag in tags for word in ("--tag", tag)]
        _run([engine, "build", "--file", str(ROOT / "deploy/images/Dockerfile"), "--target", target, *named, str(ROOT)])
        for tag in tags:
            _run([engine, "push", tag])


def _log_in(engine: str, host: str, region: str) -> None:
    """The password goes from one program to the other, and into no argument."""
    password = _run(["aws", "ecr", "get-login-password", "--region", region], stdout=subprocess.PIPE)
    _run([engine, "login", "--username", "AWS", "--password-stdin", host], given=password)


def _run(argv: Sequence[str], *, given: bytes | None = None, stdout: int | None = None) -> bytes:
    try:
        return subprocess.run(argv, input=given, stdout=stdout, check=True).stdout or b""
    except FileNotFoundError:
        sys.exit(f"There is no program {argv[0]!r}: install it first.")
    except subprocess.CalledProcessError as error:
        sys.exit(f"{argv[0]} {argv[1]} ended with {error.returncode}.")


def _version() -> str:
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) == 2 else "")
