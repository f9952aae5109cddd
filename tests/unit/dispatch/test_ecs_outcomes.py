"""What became of a task: stop codes and reasons in AWS's own words ("Amazon ECS stopped task error messages")."""

from typing import Any

import pytest

from scalemesh.dispatch.backends.ecs.outcomes import status_of

OOM = "OutOfMemoryError: Container killed due to memory usage"
PULL = "CannotPullContainerError: pull image manifest has been retried 5 time(s): not found"
INIT = "ResourceInitializationError: unable to pull secrets or registry auth"
ENI = "Timeout waiting for network interface provisioning to complete."
SPOT = "Your Spot Task was interrupted."
ESSENTIAL = ("EssentialContainerExited", "Essential container in task exited")


def task(code: str = "", reason: str = "", *, status: str = "STOPPED", **reasons: str) -> dict[str, Any]:
    containers = [{"name": name, "exitCode": 137, "reason": reasons.get(name, "")} for name in ("agent", "runner")]
    return {"lastStatus": status, "stopCode": code, "stoppedReason": reason, "containers": containers}


@pytest.mark.parametrize("status", ["PROVISIONING", "PENDING", "ACTIVATING", "RUNNING"])
def test_runs(status: str) -> None:
    assert status_of({"lastStatus": status}).running


@pytest.mark.parametrize(
    ("document", "code", "infrastructure"),
    [
        (task(*ESSENTIAL), "build_server_died", True),
        (task(*ESSENTIAL, agent=OOM), "build_server_died", True),
        (task(*ESSENTIAL, runner=OOM), "out_of_memory", False),
        (task(status="RUNNING", runner=OOM), "out_of_memory", False),
        (task("SpotInterruption", SPOT), "interrupted", True),
        (task("TerminationNotice", SPOT), "interrupted", True),
        (task("TerminationNotice", "Host EC2 (instance i-1) terminated."), "host_gone", True),
        (task("UserInitiated", "by ada"), "deleted", True),
        (task("TaskFailedToStart", PULL), "image_unavailable", True),
        (task("TaskFailedToStart", "Task failed to start", agent=PULL), "image_unavailable", True),
        (task("TaskFailedToStart", INIT), "no_resources", True),
        (task("TaskFailedToStart", ENI), "no_network", True),
        (task("TaskFailedToStart", "Capacity is unavailable at this time."), "no_capacity", True),
        (task("TaskFailedToStart", "CannotStartContainerError: no such file"), "container_not_started", True),
    ],
)
def test_ends_are_told_apart(document: dict[str, Any], code: str, infrastructure: bool) -> None:
    ended = status_of(document).ended
    assert (ended.code, ended.infrastructure) == (code, infrastructure)


def test_the_operator_is_told_codes_and_reasons() -> None:
    assert status_of(task(*ESSENTIAL, runner=OOM)).detail == (
        f"EssentialContainerExited Essential container in task exited; agent: 137; runner: 137 {OOM}"
    )
