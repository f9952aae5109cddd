"""Needs a cluster (KUBECONFIG) with the build image (SCALEMESH_BUILD_IMAGE) that reaches us at SCALEMESH_TEST_HOST."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scalemesh.testing.git_server import GitServer
from tests.acceptance.harness import Platform, free_port
from tests.kubernetes.kubernetes_cluster import HOST, NAMESPACE, ReachableGitServer, kubectl


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.kubernetes)
            item.add_marker(pytest.mark.timeout(300))


@pytest.fixture(scope="session", autouse=True)
def bridge() -> None:
    """A node's bridge, and with it the address at which pods reach us, is there from its first pod on."""
    image = f"--image={os.environ['SCALEMESH_BUILD_IMAGE']}"
    how = ("--image-pull-policy=IfNotPresent", "--restart=Never", "--attach", "--rm")
    kubectl("run", "first-pod", image, *how, "--command", "--", "true")


@pytest.fixture(scope="session")
def git(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    with ReachableGitServer(tmp_path_factory.mktemp("git"), host="0.0.0.0") as server:
        yield server


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The whole platform on this machine, its builds in the cluster."""
    port = free_port()
    env = {
        "SCALEMESH_BUILDER": "kubernetes",
        "SCALEMESH_BUILD_IMAGE": os.environ["SCALEMESH_BUILD_IMAGE"],
        "SCALEMESH_BUILD_CPUS": "1",
        "SCALEMESH_BUILD_MEMORY": "512MB",
        "SCALEMESH_KUBERNETES_NAMESPACE": NAMESPACE,
        "SCALEMESH_KUBERNETES_CPU_REQUEST": "0.01",
        "SCALEMESH_KUBERNETES_UNSCHEDULABLE": "10",
        "SCALEMESH_HOST": "0.0.0.0",
        "SCALEMESH_INTERNAL_URL": f"http://{HOST}:{port}",
        "SCALEMESH_ALLOWED_HOSTS": HOST,
    }
    scalemesh = Path(sys.executable).with_name("scalemesh")
    data = tmp_path_factory.mktemp("platform") / "data"
    with Platform(scalemesh, data, env=env, api_port=port) as running:
        yield running.set_up()
