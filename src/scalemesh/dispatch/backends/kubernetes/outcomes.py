"""What became of a pod: read from its document, as the API server gives it."""

import time
from datetime import datetime
from typing import Any

from scalemesh.dispatch.backends.base import Ended, Status

Json = dict[str, Any]

OOM_KILLED = "OOMKilled"
# Waiting for these is in vain: nobody but an operator can mend them.
_HOPELESS = frozenset({"ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError", "RunContainerError"})
_PULLING = frozenset({"ErrImagePull", "ImagePullBackOff"})
PULL_S = 300.0  # a registry may be away for as long


def status_of(pod: Json, *, unschedulable_s: float, now: float | None = None) -> Status:
    """`now`: seconds since the epoch."""
    status = pod.get("status") or {}
    age_s = (time.time() if now is None else now) - _seconds(pod["metadata"].get("creationTimestamp"))
    containers = {each["name"]: each.get("state") or {} for each in status.get("containerStatuses") or ()}
    if ended := _of_pod(status, containers):
        return Status(running=False, detail=_words(status, containers), ended=ended)
    if waits := _waits(status, containers, age_s, unschedulable_s):
        return Status(running=False, detail=waits.message, ended=waits)
    return Status(running=True)


def _of_pod(status: Json, containers: dict[str, Json]) -> Ended | None:
    reason = status.get("reason")
    if reason == "Evicted":
        return Ended("evicted", f"The node ran out of room and evicted the build: {status.get('message', '')}".strip())
    if reason == "DeadlineExceeded":
        return Ended("timeout", "The build did not end within its time limit.", infrastructure=False)
    runner, agent = (containers.get(name, {}).get("terminated") for name in ("runner", "agent"))
    if runner and runner.get("reason") == OOM_KILLED:
        return Ended("out_of_memory", "The build was killed: out of memory.", infrastructure=False)
    if agent and agent.get("reason") == OOM_KILLED:
        return Ended(message="The build server was killed: out of memory.")
    if agent or status.get("phase") in {"Succeeded", "Failed"}:
        return Ended()
    return None


def _waits(status: Json, containers: dict[str, Json], age_s: float, unschedulable_s: float) -> Ended | None:
    """What will not become anything any more."""
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            if age_s > unschedulable_s:
                return Ended("unschedulable", f"No node has room for the build: {condition.get('message', '')}")
            return None
    for name, state in containers.items():
        waiting = state.get("waiting") or {}
        reason = waiting.get("reason", "")
        if reason in _HOPELESS or (reason in _PULLING and age_s > PULL_S):
            text = f"The {name} container cannot start ({reason}): {waiting.get('message', '')}"
            return Ended("image_unavailable" if "Image" in reason else "container_not_started", text)
    return None


def _words(status: Json, containers: dict[str, Json]) -> str:
    ends = [
        f"{name}: {end.get('reason', '')} {end.get('exitCode', '')}".strip()
        for name, state in containers.items()
        if (end := state.get("terminated"))
    ]
    return "; ".join([f"{status.get('phase')} {status.get('reason') or ''}".strip(), *ends])


def _seconds(stamp: str | None) -> float:
    return datetime.fromisoformat(stamp).timestamp() if stamp else time.time()
