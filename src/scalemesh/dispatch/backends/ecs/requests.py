"""What ECS is asked to run for one attempt: the task definition of deploy/aws, and what differs from build to build."""

import math
from dataclasses import dataclass, field
from typing import Any

from scalemesh.core.build import AgentOptions, Limits
from scalemesh.core.documents import encode
from scalemesh.dispatch.backends.base import Launch
from scalemesh.errors import BadSettings

Json = dict[str, Any]

ATTEMPT, DEPLOYMENT, INSTANCE = "scalemesh:attempt", "scalemesh:deployment", "scalemesh:instance"
AGENT, RUNNER = "agent", "runner"
BUILD, TOOLCHAINS, BROKER = "/build", "/toolchains", "/run/scalemesh"
AGENT_COMMAND = ("python", "-I", "-m", "scalemesh.main.agent")

MIB, GIB = 1024**2, 1024**3
AGENT_MEMORY_MIB = 512
IMAGE_GIB = 10  # of a task's disk: the image, the toolchains, the agent's own
FARGATE_GIB = (20, 200)  # what a task has without asking, and at most

# Units of 1/1024 processor → (least, most, step) of GiB: Fargate's table.
_FARGATE: dict[int, tuple[float, int, float]] = {
    256: (0.5, 2, 0.5),
    512: (1, 4, 1),
    1024: (2, 8, 1),
    2048: (4, 16, 1),
    4096: (8, 30, 1),
    8192: (16, 60, 4),
    16384: (32, 120, 8),
}


@dataclass(frozen=True)
class EcsSettings:
    """`api_url`: the API as tasks reach it. `parameters`: the path in SSM below which tokens are.

    `capacity_providers`: name → weight, in place of `launch_type`. `capacity_s`: how long a launch waits for room.
    `look_s`: tasks are looked at no more often than that.
    """

    cluster: str
    task_definition: str
    api_url: str
    instance: str
    subnets: tuple[str, ...]
    security_groups: tuple[str, ...] = ()
    public_ip: bool = False
    launch_type: str = "FARGATE"
    capacity_providers: dict[str, int] = field(default_factory=dict)
    parameters: str = "/scalemesh/builds"
    capacity_s: float = 60.0
    look_s: float = 3.0

    @property
    def is_fargate(self) -> bool:
        names = self.capacity_providers or {self.launch_type: 1}
        return all(name.startswith("FARGATE") for name in names)


def run_task(launch: Launch, settings: EcsSettings, token: str) -> Json:
    """The parameters of RunTask but its `clientToken`. `token`: where the agent finds it."""
    return {
        "cluster": settings.cluster,
        "taskDefinition": settings.task_definition,
        "count": 1,
        "startedBy": launch.deployment,
        "tags": [{"key": key, "value": value} for key, value in tags(launch, settings).items()],
        "enableECSManagedTags": True,
        "networkConfiguration": {
            "awsvpcConfiguration": {
                "subnets": list(settings.subnets),
                "securityGroups": list(settings.security_groups),
                "assignPublicIp": "ENABLED" if settings.public_ip else "DISABLED",
            }
        },
        "overrides": _overrides(launch, settings, token),
        **_capacity(settings),
    }


def tags(launch: Launch, settings: EcsSettings) -> dict[str, str]:
    return {ATTEMPT: launch.attempt, DEPLOYMENT: launch.deployment, INSTANCE: settings.instance}


def _capacity(settings: EcsSettings) -> Json:
    if not settings.capacity_providers:
        return {"launchType": settings.launch_type}
    strategy = [{"capacityProvider": name, "weight": weight} for name, weight in settings.capacity_providers.items()]
    return {"capacityProviderStrategy": strategy}


def _overrides(launch: Launch, settings: EcsSettings, token: str) -> Json:
    options = AgentOptions(
        url=settings.api_url,
        attempt=launch.attempt,
        directory=BUILD,
        token=token,
        toolchains=TOOLCHAINS,
        broker=BROKER,
        sandbox="container",
        limits=launch.limits,
    )
    memory_mib = math.ceil(launch.limits.memory_bytes / MIB)
    size = fargate_size(launch.limits) if settings.is_fargate else _size(launch.limits)
    return {
        "containerOverrides": [
            {"name": AGENT, "command": [*AGENT_COMMAND, encode(options).decode()]},
            {"name": RUNNER, "memory": memory_mib},
        ],
        "cpu": str(size[0]),
        "memory": str(size[1]),
        **(_disk(launch.limits) if settings.is_fargate else {}),
    }


def fargate_size(limits: Limits) -> tuple[int, int]:
    """The smallest task of Fargate's table that has room for the build and its agent. Raises BadSettings."""
    cpu, memory_mib = _size(limits)
    for units, (least, most, step) in _FARGATE.items():
        if units >= cpu and most * 1024 >= memory_mib:
            steps = math.ceil(max(0, memory_mib - least * 1024) / (step * 1024))
            return units, int((least + steps * step) * 1024)
    raise BadSettings(
        f"No Fargate task has {limits.cpus} processors and {memory_mib} MiB.",
        code="too_large_for_fargate",
        hint="Lower SCALEMESH_BUILD_CPUS or SCALEMESH_BUILD_MEMORY, or use EC2 capacity.",
    )


def _size(limits: Limits) -> tuple[int, int]:
    """The processors are shared with the agent, which idles while steps run; its memory is its own."""
    return math.ceil(limits.cpus * 1024), math.ceil(limits.memory_bytes / MIB) + AGENT_MEMORY_MIB


def _disk(limits: Limits) -> Json:
    wanted = math.ceil(limits.disk_bytes / GIB) + IMAGE_GIB
    given, most = FARGATE_GIB
    if wanted > most:
        raise BadSettings(
            f"No Fargate task has {wanted} GiB of disk; the most is {most}.",
            code="too_large_for_fargate",
            hint=f"Lower SCALEMESH_BUILD_DISK to {most - IMAGE_GIB}GB, or use EC2 capacity.",
        )
    return {"ephemeralStorage": {"sizeInGiB": wanted}} if wanted > given else {}
