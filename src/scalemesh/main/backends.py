"""Which backend runs the builds: as `SCALEMESH_BUILDER` says, with the settings that it wants."""

import hashlib
import json
from collections.abc import Callable

from scalemesh.dispatch.backends.base import Backend
from scalemesh.errors import BadSettings
from scalemesh.main.platform import environ_of_programs, repositories, uids
from scalemesh.projects import load_or_create_key
from scalemesh.settings import Settings


def backend(settings: Settings) -> Backend:
    """Not yet opened. Raises BadSettings."""
    make = _BACKENDS.get(settings.builder)
    if make is None:
        raise BadSettings(
            f"SCALEMESH_BUILDER={settings.builder!r}: unknown.",
            hint=f"Known: {', '.join(_BACKENDS)}.",
            field="SCALEMESH_BUILDER",
        )
    return make(settings)


def _local(settings: Settings) -> Backend:
    from scalemesh.dispatch.backends.local import LocalBackend, LocalSettings
    from scalemesh.dispatch.caches import Caches

    toolchains = settings.data_dir / "toolchains"
    toolchains.mkdir(exist_ok=True)
    return LocalBackend(
        LocalSettings(
            builds=settings.data_dir / "builds",
            toolchains=toolchains,
            broker=settings.data_dir / "broker",
            api_url=settings.internal_url,
            sandbox="none" if settings.build.sandbox == "none" else "bubblewrap",
            uids=uids(settings),
            readable=(repositories(settings),),
            caches=Caches(settings.data_dir / "caches", settings.build.cache_bytes),
            environ=environ_of_programs(),
        )
    )


def _kubernetes(settings: Settings) -> Backend:
    try:
        from scalemesh.dispatch.backends.kubernetes.backend import KubernetesBackend
    except ModuleNotFoundError as error:
        raise _missing("kubernetes") from error
    from scalemesh.dispatch.backends.kubernetes.manifests import KubernetesSettings

    own = settings.kubernetes
    return KubernetesBackend(
        KubernetesSettings(
            namespace=own.namespace,
            image=_required(settings.build.image, "SCALEMESH_BUILD_IMAGE"),
            api_url=settings.internal_url,
            instance=_instance(settings),
            pull_policy=own.pull_policy,
            runtime_class=own.runtime_class,
            service_account=own.service_account,
            node_selector=dict(_pair(each) for each in own.node_selector),
            tolerations=tuple(_tolerations(own.tolerations)),
            cpu_request=own.cpu_request,
            unschedulable_s=own.unschedulable_s,
        )
    )


def _ecs(settings: Settings) -> Backend:
    try:
        from scalemesh.dispatch.backends.ecs.backend import EcsBackend
    except ModuleNotFoundError as error:
        raise _missing("ecs") from error
    from scalemesh.dispatch.backends.ecs.requests import EcsSettings

    own = settings.ecs
    if not own.subnets:
        raise BadSettings(
            "SCALEMESH_ECS_SUBNETS is not set.",
            hint="Name the subnets that builds run in.",
            field="SCALEMESH_ECS_SUBNETS",
        )
    return EcsBackend(
        EcsSettings(
            cluster=own.cluster,
            task_definition=own.task_definition,
            api_url=settings.internal_url,
            instance=_instance(settings),
            subnets=own.subnets,
            security_groups=own.security_groups,
            public_ip=own.public_ip,
            launch_type=own.launch_type,
            capacity_providers=dict(_weight(each) for each in own.capacity_providers),
            parameters=own.parameters,
            capacity_s=own.capacity_s,
        )
    )


def _docker(settings: Settings) -> Backend:
    from scalemesh.dispatch.backends.docker import DockerBackend, DockerSettings

    return DockerBackend(
        DockerSettings(
            engine=settings.docker.engine,
            image=_required(settings.build.image, "SCALEMESH_BUILD_IMAGE"),
            api_url=settings.internal_url,
            instance=_instance(settings),
            folder=settings.data_dir / "docker",
            network=settings.docker.network,
        )
    )


_BACKENDS: dict[str, Callable[[Settings], Backend]] = {
    "local": _local,
    "docker": _docker,
    "kubernetes": _kubernetes,
    "ecs": _ecs,
}


def _instance(settings: Settings) -> str:
    """This installation among others in one place: what every process of it knows, and no other."""
    key = load_or_create_key(settings.secret_key, settings.data_dir / "secret.key")
    return hashlib.sha256(b"instance" + key).hexdigest()[:16]


def _required(value: str, name: str) -> str:
    if not value:
        raise BadSettings(f"{name} is not set.", hint="Name the image of deploy/images/build-server.", field=name)
    return value


def _pair(label: str) -> tuple[str, str]:
    name, equals, value = label.partition("=")
    if not equals:
        raise BadSettings(
            f"SCALEMESH_KUBERNETES_NODE_SELECTOR: {label!r} is not `label=value`.",
            field="SCALEMESH_KUBERNETES_NODE_SELECTOR",
        )
    return name, value


def _weight(provider: str) -> tuple[str, int]:
    name, _, weight = provider.partition(":")
    try:
        return name, int(weight or 1)
    except ValueError as error:
        raise BadSettings(
            f"SCALEMESH_ECS_CAPACITY_PROVIDERS: {provider!r} is not `name:weight`.",
            field="SCALEMESH_ECS_CAPACITY_PROVIDERS",
        ) from error


def _tolerations(text: str) -> list[dict[str, object]]:
    try:
        given = json.loads(text or "[]")
    except ValueError:
        given = None
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise BadSettings(
            "SCALEMESH_KUBERNETES_TOLERATIONS is not a JSON list of objects.",
            hint='For example [{"key": "builds", "operator": "Exists"}].',
            field="SCALEMESH_KUBERNETES_TOLERATIONS",
        )
    return given


def _missing(extra: str) -> BadSettings:
    return BadSettings(
        f"SCALEMESH_BUILDER={extra} needs more packages.",
        hint=f"pip install 'scalemesh[{extra}]'",
        field="SCALEMESH_BUILDER",
    )
