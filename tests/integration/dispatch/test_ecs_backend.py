"""Builds as ECS tasks: moto answers as AWS does, and the containers that RunTask asked for run."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from moto.core.exceptions import ServiceException

from scalemesh.dispatch.backends.base import Backend, Handle
from scalemesh.dispatch.backends.ecs import board
from scalemesh.dispatch.backends.ecs.backend import EcsBackend
from scalemesh.dispatch.backends.ecs.requests import EcsSettings
from scalemesh.errors import BadSettings, InfrastructureFault
from scalemesh.testing.backend_contract import BackendContract, new_launch
from tests.ecs_machine import EcsMachine
from tests.integration.build_api import BuildApi

NO_MEMORY = {"reason": "RESOURCE:MEMORY"}


@pytest.fixture
async def settings(machine: EcsMachine, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EcsSettings]:
    for name, value in machine.env.items():
        monkeypatch.setenv(name, value)
    machine.refusals.clear()
    machine.calls.clear()
    async with BuildApi(is_away=True).serve() as api:
        yield machine.for_backend(api.url)


@asynccontextmanager
async def opened(settings: EcsSettings) -> AsyncIterator[EcsBackend]:
    async with EcsBackend(settings) as backend:
        yield backend
        for attempt in await backend.existing():
            await backend.stop(attempt, None)


@pytest.fixture
async def backend(settings: EcsSettings) -> AsyncIterator[Backend]:
    async with opened(settings) as backend:
        yield backend


@pytest.mark.matrix
class TestEcsBackend(BackendContract):
    @pytest.fixture(autouse=True)
    def _machine(self, machine: EcsMachine) -> None:
        self.machine = machine

    async def end(self, backend: Backend, attempt: str, handle: Handle) -> None:
        self.machine.crash(attempt)

    def another(self, backend: Backend) -> AbstractAsyncContextManager[Backend]:
        assert isinstance(backend, EcsBackend)
        return EcsBackend(backend._settings)

    def remains(self, backend: Backend, attempt: str) -> list[str]:
        return self.machine.remains(attempt)


async def test_a_task_runs_and_is_stopped(machine: EcsMachine, backend: Backend) -> None:
    launch = new_launch()
    handle = await backend.launch(launch)
    assert (await backend.poll(launch.attempt, handle)).running
    assert machine.processes(launch.attempt)
    await backend.stop(launch.attempt, handle)
    assert machine.remains(launch.attempt) == []


@pytest.mark.matrix
async def test_a_second_process_gets_the_same_task(machine: EcsMachine, settings: EcsSettings) -> None:
    launch = new_launch()
    async with opened(settings) as one, EcsBackend(replace(settings, look_s=0)) as other:
        assert await one.launch(launch) == await other.launch(launch)
    assert {call["startedBy"] for call in machine.calls} == {launch.deployment}


@pytest.mark.matrix
async def test_a_task_stopped_by_hand_is_told_from_a_crash(machine: EcsMachine, backend: Backend) -> None:
    launch = new_launch()
    handle = await backend.launch(launch)
    machine.client("ecs").stop_task(cluster=handle["cluster"], task=handle["task"], reason="by ada")
    status = await backend.poll(launch.attempt, {**handle})
    while status.running:
        status = await backend.poll(launch.attempt, handle)
    assert (status.ended.code, "by ada" in status.ended.message) == ("deleted", True)


@pytest.mark.matrix
@pytest.mark.parametrize(
    "refusal",
    [
        NO_MEMORY,
        ServiceException("ClientException", "Capacity is unavailable at this time. Please try again later."),
        ServiceException("ThrottlingException", "Rate exceeded"),
    ],
    ids=["no room", "no capacity", "throttled"],
)
async def test_what_passes_is_tried_again(machine: EcsMachine, backend: Backend, refusal: object) -> None:
    machine.refusals.append(refusal)  # type: ignore[arg-type]
    launch = new_launch()
    handle = await backend.launch(launch)
    assert (await backend.poll(launch.attempt, handle)).running
    assert len(machine.calls) == 2


async def test_a_cluster_that_stays_full_is_our_fault_with_its_reason(
    machine: EcsMachine, settings: EcsSettings
) -> None:
    machine.refusals.append(NO_MEMORY)
    async with opened(replace(settings, capacity_s=0)) as backend:
        launch = new_launch()
        with pytest.raises(InfrastructureFault, match="RESOURCE:MEMORY") as caught:
            await backend.launch(launch)
        await backend.stop(launch.attempt, None)
    assert (caught.value.code, machine.remains(launch.attempt)) == ("no_capacity", [])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"cluster": "nowhere"}, "Cluster not found"), ({"task_definition": "nothing"}, "task definition")],
    ids=["cluster", "task definition"],
)
async def test_what_is_not_there_is_an_operators_mistake(
    settings: EcsSettings, wrong: dict[str, Any], said: str
) -> None:
    launch = new_launch()
    async with EcsBackend(replace(settings, **wrong)) as mistaken:
        with pytest.raises(BadSettings, match=said):
            await mistaken.launch(launch)
    async with EcsBackend(settings) as backend:
        await backend.stop(launch.attempt, None)


@pytest.mark.matrix
async def test_a_token_without_a_task_is_seen_by_the_sweep(machine: EcsMachine, backend: Backend) -> None:
    ssm, attempts = machine.client("ssm"), {f"att_{number}" for number in range(51)}  # more than a page
    for attempt in attempts:
        ssm.put_parameter(Name=f"/scalemesh/builds/test/{attempt}", Value="x", Type="SecureString")
    assert await backend.existing() == attempts
    for attempt in attempts - {"att_0"}:
        ssm.delete_parameter(Name=f"/scalemesh/builds/test/{attempt}")
    await backend.stop("att_0", None)
    assert await backend.existing() == set()


@pytest.mark.matrix
async def test_another_installations_builds_are_not_ours(backend: Backend, settings: EcsSettings) -> None:
    await backend.launch(new_launch())
    async with EcsBackend(replace(settings, instance="other")) as other:
        assert await other.existing() == set()


@pytest.mark.matrix
async def test_polls_share_calls(settings: EcsSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "BATCH", 2)
    described: list[int] = []

    def describe_tasks(**given: Any) -> Any:
        described.append(len(given["tasks"]))
        return describe(**given)

    async with opened(settings) as backend, EcsBackend(replace(settings, look_s=600)) as later:
        launches = [new_launch() for _ in range(3)]
        handles = [await backend.launch(launch) for launch in launches]
        describe = later._ecs.describe_tasks
        monkeypatch.setattr(later._ecs, "describe_tasks", describe_tasks)
        pairs = zip(launches, handles, strict=True)
        running = [(await later.poll(launch.attempt, handle)).running for launch, handle in pairs]
    assert (running, described) == ([True] * 3, [2, 1])
