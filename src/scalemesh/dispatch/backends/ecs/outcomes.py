"""What became of a task: read from its document, as DescribeTasks gives it."""

from typing import Any

from scalemesh.dispatch.backends.base import Ended, Status
from scalemesh.dispatch.backends.ecs.requests import AGENT, RUNNER

Json = dict[str, Any]

_OUT_OF_MEMORY = "OutOfMemory"
_STOPPING = frozenset({"DEACTIVATING", "STOPPING", "DEPROVISIONING", "STOPPED"})
# What ECS says first about a task that did not start, and what we call it: docs.aws.amazon.com, "stopped tasks errors".
_NOT_STARTED = {
    "CannotPull": "image_unavailable",
    "Capacity is unavailable": "no_capacity",
    "RESOURCE:": "no_capacity",
    "ResourceInitializationError": "no_resources",
    "Timeout waiting for network": "no_network",
    "Timeout waiting for EphemeralStorage": "no_resources",
}


def status_of(task: Json) -> Status:
    if task["lastStatus"] not in _STOPPING and _OUT_OF_MEMORY not in _reason(task, RUNNER):
        return Status(running=True)
    return Status(running=False, detail=_words(task), ended=_ended(task))


def _ended(task: Json) -> Ended:
    """A task that ends by itself has stopCode EssentialContainerExited: the agent is the essential one."""
    code, reason = task.get("stopCode"), task.get("stoppedReason") or ""
    if _OUT_OF_MEMORY in _reason(task, RUNNER):
        return Ended("out_of_memory", "The build was killed: out of memory.", infrastructure=False)
    if _OUT_OF_MEMORY in _reason(task, AGENT):
        return Ended(message="The build server was killed: out of memory.")
    if code == "SpotInterruption" or reason.startswith("Your Spot Task was interrupted"):
        return Ended("interrupted", "AWS took the Spot capacity back that the build ran on.")
    if code == "TerminationNotice" or reason.startswith("Host EC2"):
        return Ended("host_gone", f"The build's host went away: {reason}")
    if code == "UserInitiated":
        return Ended("deleted", f"The build's task was stopped by somebody else: {reason}")
    return _not_started(task) or Ended()


def _not_started(task: Json) -> Ended | None:
    reasons = [task.get("stoppedReason") or "", _reason(task, AGENT), _reason(task, RUNNER)]
    for reason in reasons:
        for start, code in _NOT_STARTED.items():
            if start in reason:
                return Ended(code, f"The build's task did not start: {reason}")
    if task.get("stopCode") == "TaskFailedToStart":
        return Ended("container_not_started", f"The build's task did not start: {' '.join(filter(None, reasons))}")
    return None


def _reason(task: Json, name: str) -> str:
    return next((each.get("reason") or "" for each in task.get("containers") or () if each.get("name") == name), "")


def _words(task: Json) -> str:
    ends = [
        f"{each['name']}: {each.get('exitCode', 'no exit code')} {each.get('reason') or ''}".strip()
        for each in task.get("containers") or ()
    ]
    return "; ".join([f"{task.get('stopCode') or ''} {task.get('stoppedReason') or ''}".strip(), *ends])
