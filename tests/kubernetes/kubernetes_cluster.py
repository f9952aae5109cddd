"""Hands on the cluster that the tests are given."""

import json
import os
import subprocess
from typing import Any

from scalemesh.testing.git_server import GitServer

NAMESPACE = "default"
HOST = os.environ.get("SCALEMESH_TEST_HOST", "10.244.0.1")


class ReachableGitServer(GitServer):
    """As pods reach it."""

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"


def kubectl(*args: str) -> str:
    argv = [os.environ.get("KUBECTL", "kubectl"), "-n", NAMESPACE, *args]
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=90).stdout


def items(kinds: str, *selector: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(kubectl("get", kinds, *selector, "-o", "json"))["items"]
    return found
