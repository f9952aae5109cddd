"""The Secret and the Job of one attempt, as documents, by the rules of Pod Security "restricted"."""

import base64
from dataclasses import dataclass, field
from typing import Any

from scalemesh.core.build import AgentOptions
from scalemesh.core.documents import encode
from scalemesh.dispatch.backends.base import Launch
from scalemesh.sandbox.session import RUNNER_SOCKET

Json = dict[str, Any]

ATTEMPT = "scalemesh.dev/attempt"
LABELS = {"app.kubernetes.io/name": "scalemesh-build", "app.kubernetes.io/managed-by": "scalemesh"}
UID = 10001
GRACE_S = 5
DEADLINE_SLACK_S = 120  # the platform's own deadline comes first: this one is for the day that there is no platform
KEEP_S = 600  # a finished Job stays as long for people to look at, should nobody clean up
AGENT_MEMORY_BYTES = 512 * 1024**2
AGENT_CPUS = 0.5

BUILD, TOOLCHAINS, TOKEN, BROKER = "/build", "/toolchains", "/run/scalemesh-token", "/run/scalemesh"
_AGENT = ("python", "-I", "-m", "scalemesh.main.agent")
_RUNNER = ("python", "-I", "-m", "scalemesh.sandbox.inside.container")


@dataclass(frozen=True)
class KubernetesSettings:
    """`api_url`: the API as pods reach it. `cpu_request`: the share of a build's processors that is reserved for it."""

    namespace: str
    image: str
    api_url: str
    instance: str
    pull_policy: str = "IfNotPresent"
    runtime_class: str = ""
    service_account: str = ""
    node_selector: dict[str, str] = field(default_factory=dict)
    tolerations: tuple[Json, ...] = ()
    cpu_request: float = 0.5
    unschedulable_s: int = 600


def name_of(launch: Launch) -> str:
    """From deployment and attempt: an attempt that is launched twice has one Job."""
    return f"{launch.deployment.replace('_', '-').lower()}-{launch.number}"


def labels_of(attempt: str, instance: str) -> dict[str, str]:
    return {**LABELS, "app.kubernetes.io/instance": instance, ATTEMPT: attempt}


def secret(launch: Launch, settings: KubernetesSettings) -> Json:
    token = base64.b64encode(launch.token.encode()).decode()
    return {"metadata": _metadata(launch, settings), "type": "Opaque", "immutable": True, "data": {"token": token}}


def job(launch: Launch, settings: KubernetesSettings) -> Json:
    deadline_s = launch.limits.build_timeout_s + DEADLINE_SLACK_S
    return {
        "metadata": _metadata(launch, settings),
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": deadline_s,
            "ttlSecondsAfterFinished": KEEP_S,
            "template": {
                "metadata": {"labels": labels_of(launch.attempt, settings.instance)},
                "spec": _pod(launch, settings, deadline_s),
            },
        },
    }


def _metadata(launch: Launch, settings: KubernetesSettings) -> Json:
    return {
        "name": name_of(launch),
        "namespace": settings.namespace,
        "labels": labels_of(launch.attempt, settings.instance),
        "annotations": {"scalemesh.dev/deployment": launch.deployment},
    }


def _pod(launch: Launch, settings: KubernetesSettings, deadline_s: int) -> Json:
    optional: Json = {"runtimeClassName": settings.runtime_class, "serviceAccountName": settings.service_account}
    return {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": deadline_s,
        "terminationGracePeriodSeconds": GRACE_S,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "shareProcessNamespace": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": UID,
            "runAsGroup": UID,
            "fsGroup": UID,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "nodeSelector": settings.node_selector,
        "tolerations": list(settings.tolerations),
        "containers": [_agent(launch, settings), _runner(launch, settings)],
        "volumes": [
            {"name": "build", "emptyDir": {"sizeLimit": str(launch.limits.disk_bytes)}},
            {"name": "toolchains", "emptyDir": {}},
            {"name": "agent-tmp", "emptyDir": {}},
            {"name": "agent-run", "emptyDir": {}},
            {"name": "runner-tmp", "emptyDir": {}},
            {"name": "token", "secret": {"secretName": name_of(launch), "defaultMode": 0o440}},
        ],
        **{key: value for key, value in optional.items() if value},
    }


def _agent(launch: Launch, settings: KubernetesSettings) -> Json:
    options = AgentOptions(
        url=settings.api_url,
        attempt=launch.attempt,
        directory=BUILD,
        token=f"{TOKEN}/token",
        toolchains=TOOLCHAINS,
        broker=BROKER,
        sandbox="container",
        limits=launch.limits,
    )
    mounts = {"build": BUILD, "toolchains": TOOLCHAINS, "agent-tmp": "/tmp", "agent-run": BROKER}  # noqa: S108
    return {
        **_container("agent", settings),
        "command": [*_AGENT, encode(options).decode()],
        "resources": _resources(AGENT_CPUS, AGENT_CPUS, AGENT_MEMORY_BYTES),
        "volumeMounts": [
            *({"name": name, "mountPath": path} for name, path in mounts.items()),
            {"name": "token", "mountPath": TOKEN, "readOnly": True},
        ],
    }


def _runner(launch: Launch, settings: KubernetesSettings) -> Json:
    limits = launch.limits
    return {
        **_container("runner", settings),
        "command": [*_RUNNER, f"{BUILD}/{RUNNER_SOCKET}"],
        "resources": _resources(
            limits.cpus * settings.cpu_request, limits.cpus, limits.memory_bytes, disk_bytes=limits.disk_bytes
        ),
        "volumeMounts": [
            {"name": "build", "mountPath": BUILD},
            {"name": "toolchains", "mountPath": TOOLCHAINS, "readOnly": True},
            {"name": "runner-tmp", "mountPath": "/tmp"},  # noqa: S108 - the container's own
        ],
    }


def _container(name: str, settings: KubernetesSettings) -> Json:
    return {
        "name": name,
        "image": settings.image,
        "imagePullPolicy": settings.pull_policy,
        "workingDir": BUILD,
        "env": [{"name": "HOME", "value": "/tmp"}],  # noqa: S108 - the container's own
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }


def _resources(request: float, cpus: float, memory_bytes: int, disk_bytes: int = 0) -> Json:
    disk = {"ephemeral-storage": str(disk_bytes)} if disk_bytes else {}
    return {
        "requests": {"cpu": f"{int(request * 1000)}m", "memory": str(memory_bytes)},
        "limits": {"cpu": f"{int(cpus * 1000)}m", "memory": str(memory_bytes), **disk},
    }
