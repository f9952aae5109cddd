from collections.abc import Iterator

import pytest

from tests.ecs_machine import EcsMachine


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EcsMachine]:
    """One at a time: moto keeps its state in this process."""
    with EcsMachine(tmp_path_factory.mktemp("ecs")).open() as machine:
        yield machine
