"""Machines for tests: started on demand, gone afterwards."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.sandbox.sandbox_machines import Machine, Outcome, Step

StartMachine = Callable[..., Machine]


@pytest.fixture(scope="module")
def start_machine() -> Iterator[StartMachine]:
    machines: list[Machine] = []
    roots: list[Path] = []

    def start(*steps: Step, **options: Any) -> Machine:
        roots.append(Path(tempfile.mkdtemp(prefix="sandbox-test-")))  # 0700 for root: the launcher has to get through
        machines.append(Machine(roots[-1], list(steps), **options))
        return machines[-1]

    yield start
    for machine in machines:
        machine.kill()
    for root in roots:
        shutil.rmtree(root)


@pytest.fixture(scope="module")
def run_steps(start_machine: StartMachine) -> Callable[..., list[Outcome]]:
    def run(*steps: Step, **options: Any) -> list[Outcome]:
        return start_machine(*steps, **options).finish()

    return run
