import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.cluster import extras, open_cluster
from tests.acceptance.harness import Platform
from tests.acceptance.repositories import Repositories

ROOT = Path(__file__).parents[2]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "acceptance" in item.path.parts and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(420))


@pytest.fixture(scope="session")
def scalemesh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The console script of a fresh environment, installed the way that the README says."""
    home = tmp_path_factory.mktemp("installed")
    home.chmod(0o755)  # as an installation is: builds run python from it under uids of their own
    subprocess.run([sys.executable, "-m", "venv", home], check=True)
    pip: list[str | Path] = [
        home / "bin" / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "-c",
        ROOT / "constraints.txt",
        ROOT,
    ]
    subprocess.run(pip, check=True)
    return home / "bin" / "scalemesh"


@pytest.fixture(scope="session", params=["up", pytest.param("cluster", marks=pytest.mark.matrix)])
def platform(
    request: pytest.FixtureRequest, scalemesh: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """One platform, set up, for every test that does not stop or break it: `up`, and as many processes over engines."""
    folder = tmp_path_factory.mktemp("platform")
    if request.param == "cluster":
        extras(scalemesh)
        with open_cluster(scalemesh, folder, with_s3=True) as cluster:
            yield cluster
    else:
        with Platform(scalemesh, folder / "data") as running:
            yield running.set_up()


@pytest.fixture(scope="session")
def git(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Repositories]:
    with Repositories(tmp_path_factory.mktemp("git")) as server:
        yield server
