"""The platform, the git server and the browser of the acceptance tests, and the page that a run writes."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from scalemesh.dispatch.toolchains.store import Store
from tests.acceptance.conftest import git, platform, scalemesh  # noqa: F401  fixtures
from tests.acceptance.test_dashboard import browser  # noqa: F401  a fixture
from tests.frameworks.page import Page


@pytest.fixture(scope="session")
def table() -> Iterator[Page]:
    """Rows of what was built and seen; written when the run ends, whatever it ended with."""
    page = Page.read()
    yield page
    page.write()


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Node that scaffolders of today accept, whatever this machine has."""
    installed = asyncio.run(Store(tmp_path_factory.mktemp("node")).ensure("node", "24"))
    assert installed.path
    return installed.path / "bin"
