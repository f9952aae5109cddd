"""What became of a pod, from statuses as a real API server (1.20) gave them."""

from typing import Any

import pytest

from scalemesh.dispatch.backends.base import Status
from scalemesh.dispatch.backends.kubernetes.outcomes import status_of

CREATED = "2026-01-01T00:00:00Z"
AT = 1767225600.0


def pod(*, phase: str = "Running", conditions: Any = (), containers: Any = (), **status: str) -> dict[str, Any]:
    statuses = [{"name": name, "state": state} for name, state in dict(containers).items()]
    status_: dict[str, Any] = {"phase": phase, "conditions": list(conditions), "containerStatuses": statuses, **status}
    return {"metadata": {"creationTimestamp": CREATED}, "status": status_}


def ended(code: int, reason: str = "Error") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason}}


def waiting(reason: str) -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": "because"}}


def look(document: dict[str, Any], age_s: float = 1) -> Status:
    return status_of(document, unschedulable_s=60, now=AT + age_s)


@pytest.mark.parametrize(
    "document",
    [
        pod(containers={"agent": {"running": {}}, "runner": {"running": {}}}),
        pod(phase="Pending", containers={"agent": waiting("ContainerCreating")}),
        pod(phase="Pending", containers={"agent": waiting("ImagePullBackOff")}),
        pod(phase="Pending", conditions=[{"type": "PodScheduled", "reason": "Unschedulable"}]),
        pod(containers={"agent": {"running": {}}, "runner": ended(0, "Completed")}),
    ],
    ids=["running", "starting", "pulling", "waiting for a node", "the runner is done"],
)
def test_runs(document: dict[str, Any]) -> None:
    assert look(document).running


@pytest.mark.parametrize(
    ("document", "age_s", "code", "infrastructure"),
    [
        (pod(containers={"agent": ended(0, "Completed"), "runner": ended(0)}), 1, "build_server_died", True),
        (pod(containers={"agent": ended(137, "OOMKilled")}), 1, "build_server_died", True),
        (pod(containers={"agent": {"running": {}}, "runner": ended(137, "OOMKilled")}), 1, "out_of_memory", False),
        (pod(phase="Failed", reason="Evicted", message="low on disk"), 1, "evicted", True),
        (pod(phase="Failed", reason="DeadlineExceeded"), 1, "timeout", False),
        (pod(containers={"agent": waiting("ErrImageNeverPull")}), 1, "image_unavailable", True),
        (pod(containers={"agent": waiting("ImagePullBackOff")}), 900, "image_unavailable", True),
        (pod(containers={"agent": waiting("CreateContainerConfigError")}), 1, "container_not_started", True),
        (pod(conditions=[{"type": "PodScheduled", "reason": "Unschedulable"}]), 61, "unschedulable", True),
    ],
)
def test_ends_are_told_apart(document: dict[str, Any], age_s: float, code: str, infrastructure: bool) -> None:
    status = look(document, age_s)
    assert (status.running, status.ended.code, status.ended.infrastructure) == (False, code, infrastructure)


def test_the_operator_reads_how_each_container_ended() -> None:
    document = pod(phase="Failed", containers={"agent": ended(5), "runner": ended(137, "OOMKilled")})
    assert look(document).detail == "Failed; agent: Error 5; runner: OOMKilled 137"
