"""Builds with everything real but the API's database: a git server, a build API, a farm of agents."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from scalemesh.testing.git_server import GitServer
from tests.integration.build_api import BuildApi
from tests.integration.builds import Farm


@pytest.fixture(scope="module")
def git(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    with GitServer(tmp_path_factory.mktemp("git")) as server:
        yield server


@pytest.fixture
async def farm(tmp_path: Path) -> AsyncIterator[Farm]:
    async with BuildApi().serve() as api, Farm(tmp_path, api).open() as opened:
        yield opened
