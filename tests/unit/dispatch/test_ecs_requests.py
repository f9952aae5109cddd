"""What RunTask is asked for."""

import json
from dataclasses import replace

import msgspec
import pytest

from scalemesh.core.build import AgentOptions, Limits
from scalemesh.core.documents import decode
from scalemesh.dispatch.backends.base import Launch
from scalemesh.dispatch.backends.ecs.requests import EcsSettings, fargate_size, run_task
from scalemesh.errors import BadSettings

GIB = 1024**3
SETTINGS = EcsSettings(
    cluster="builds",
    task_definition="scalemesh-build",
    api_url="https://api.example.org",
    instance="one",
    subnets=("subnet-1", "subnet-2"),
    security_groups=("sg-1",),
)
LAUNCH = Launch("att_1", "dpl_1", 2, "smb_secret", Limits())
REFERENCE = "ssm:/scalemesh/builds/one/att_1"


def asked(settings: EcsSettings = SETTINGS, limits: Limits = LAUNCH.limits) -> dict[str, object]:
    launch = Launch(LAUNCH.attempt, LAUNCH.deployment, LAUNCH.number, LAUNCH.token, limits)
    return run_task(launch, settings, REFERENCE)


def changed(**fields: object) -> EcsSettings:
    return replace(SETTINGS, **fields)  # type: ignore[arg-type]


def test_the_agent_is_told_address_and_reference_alone() -> None:
    agent, _ = asked()["overrides"]["containerOverrides"]  # type: ignore[index]
    options = decode(AgentOptions, agent["command"][-1])
    assert (options.url, options.attempt, options.token) == ("https://api.example.org", "att_1", REFERENCE)
    assert "smb_secret" not in json.dumps(asked())


def test_overrides_stay_far_below_their_limit_of_8192_bytes() -> None:
    assert len(json.dumps(asked()["overrides"])) < 2048


def test_who_started_it_can_be_told() -> None:
    wanted = asked()
    tags = {each["key"]: each["value"] for each in wanted["tags"]}  # type: ignore[attr-defined]
    assert wanted["startedBy"] == "dpl_1"
    assert tags == {"scalemesh:attempt": "att_1", "scalemesh:deployment": "dpl_1", "scalemesh:instance": "one"}


@pytest.mark.parametrize(
    ("cpus", "memory_gib", "size"),
    [
        (0.25, 0.25, (256, 1024)),
        (0.25, 1.5, (256, 2048)),
        (0.25, 2, (512, 3072)),
        (1, 1, (1024, 2048)),
        (2, 4, (2048, 5120)),
        (2, 16, (4096, 17408)),
        (3, 4, (4096, 8192)),
        (8, 17, (8192, 20480)),
        (16, 119, (16384, 122880)),
    ],
)
def test_sizes_are_rounded_up_to_what_fargate_has(cpus: float, memory_gib: float, size: tuple[int, int]) -> None:
    assert fargate_size(Limits(cpus=cpus, memory_bytes=int(memory_gib * GIB))) == size


@pytest.mark.parametrize("limits", [Limits(cpus=17), Limits(memory_bytes=120 * GIB), Limits(disk_bytes=191 * GIB)])
def test_what_fargate_does_not_have_is_an_operators_mistake(limits: Limits) -> None:
    with pytest.raises(BadSettings, match="No Fargate task"):
        asked(limits=limits)


def test_disk_is_asked_for_beyond_what_a_task_has_anyway() -> None:
    small, large = (
        asked(limits=msgspec.structs.replace(Limits(), disk_bytes=gib * GIB))["overrides"] for gib in (10, 11)
    )
    assert ("ephemeralStorage" in small, large["ephemeralStorage"]) == (False, {"sizeInGiB": 21})  # type: ignore[operator,index]


def test_ec2_takes_any_size() -> None:
    overrides = asked(changed(launch_type="EC2"), Limits(cpus=3, memory_bytes=5 * GIB))["overrides"]
    assert (overrides["cpu"], overrides["memory"]) == ("3072", "5632")  # type: ignore[index]


def test_capacity_providers_stand_in_for_the_launch_type() -> None:
    wanted = asked(changed(capacity_providers={"FARGATE_SPOT": 4, "FARGATE": 1}))
    assert "launchType" not in wanted
    assert wanted["capacityProviderStrategy"] == [
        {"capacityProvider": "FARGATE_SPOT", "weight": 4},
        {"capacityProvider": "FARGATE", "weight": 1},
    ]
