import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scalemesh.sources import Sources, SourceSettings
from scalemesh.testing.git_server import GitServer

MakeSources = Callable[..., Sources]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    with GitServer(tmp_path / "repositories") as running:
        yield running


@pytest.fixture
def make_sources(tmp_path: Path) -> MakeSources:
    """`Sources` as the platform makes it; private addresses are allowed unless a test says otherwise."""

    def make(**settings: Any) -> Sources:
        values: dict[str, Any] = {"directory": tmp_path / "git", "allow_private": True, "environ": dict(os.environ)}
        return Sources(SourceSettings(**(values | settings)))

    return make


@pytest.fixture
def sources(make_sources: MakeSources) -> Sources:
    return make_sources()


@pytest.fixture
def own_name() -> str:
    """A name of this machine's that stands for a private address, other than localhost."""
    name = socket.gethostname()
    try:
        address = socket.gethostbyname(name)
    except OSError:
        pytest.skip("this machine's name does not resolve")
    assert address
    return name
