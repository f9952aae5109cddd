"""The settings themselves: name, type, default, and one sentence each (docs/configuration.md is made of them)."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


def _setting(env: str, default: Any, doc: str, *, secret: bool = False) -> Any:
    return field(default=default, repr=not secret, metadata={"env": env, "doc": doc, "secret": secret})


def default_data_dir() -> Path:
    """`/var/lib/scalemesh` for root, else `~/.local/share/scalemesh` (XDG)."""
    if os.geteuid() == 0:
        return Path("/var/lib/scalemesh")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "scalemesh"


@dataclass(frozen=True, kw_only=True)
class BuildSettings:
    """How builds run and what each may use."""

    sandbox: str = _setting(
        "BUILD_SANDBOX", "auto", "`auto`: isolate every step, or refuse; `none`: no isolation at all"
    )
    concurrency: int = _setting(
        "BUILD_CONCURRENCY", 0, "builds at once on this machine; 0: as many as cores, at least 2"
    )
    team_concurrency: int = _setting("BUILD_TEAM_CONCURRENCY", 0, "builds at once of one team; 0: no limit of its own")
    project_concurrency: int = _setting(
        "BUILD_PROJECT_CONCURRENCY", 0, "builds at once of one project that sets none of its own; 0: no limit"
    )
    team_weights: tuple[str, ...] = _setting(
        "BUILD_TEAM_WEIGHTS", (), "shares of the queue, `team:share` by comma (`acme:4`); 1 for a team not named"
    )
    queue_limit: int = _setting("BUILD_QUEUE_LIMIT", 2000, "deployments of one team in the queue; 0: no limit")
    hourly_limit: int = _setting("BUILD_HOURLY_LIMIT", 0, "deployments of one team within an hour; 0: no limit")
    egress_allow: tuple[str, ...] = _setting(
        "BUILD_EGRESS_ALLOW",
        (),
        "addresses beyond the public internet that builds may reach: `host[:port]` or CIDR, by comma",
    )
    git_allow_private: bool = _setting(
        "GIT_ALLOW_PRIVATE", False, "1: repositories may be at private or loopback addresses, over http too"
    )
    git_transports: tuple[str, ...] = _setting(
        "GIT_TRANSPORTS", ("https", "ssh"), "transports a repository may use: https, ssh, http, git, file"
    )
    uid_first: int = _setting("BUILD_UID_FIRST", 200_000, "first host uid for builds, when the platform runs as root")
    uid_count: int = _setting("BUILD_UID_COUNT", 1000, "how many uids from there on belong to builds")
    memory_bytes: int = _setting("BUILD_MEMORY", 4 * 1024**3, "memory of one build, bytes or `4GB`")
    cpus: float = _setting("BUILD_CPUS", 2.0, "processors of one build")
    processes: int = _setting("BUILD_PROCESSES", 2048, "processes and threads of one build")
    disk_bytes: int = _setting("BUILD_DISK", 10 * 1024**3, "disk of one build, bytes or `10GB`")
    open_files: int = _setting("BUILD_OPEN_FILES", 65536, "open files of one process of a build")
    timeout_s: int = _setting("BUILD_TIMEOUT", 45 * 60, "seconds from claim to end of one build")
    log_bytes: int = _setting("BUILD_LOG_BYTES", 32 * 1024**2, "log of one build, bytes or `32MB`")
    output_bytes: int = _setting("BUILD_OUTPUT_BYTES", 2 * 1024**3, "output of one build, bytes or `2GB`")
    output_files: int = _setting("BUILD_OUTPUT_FILES", 100_000, "files in the output of one build")
    cache_bytes: int = _setting(
        "BUILD_CACHE_BYTES", 4 * 1024**3, "caches of one project's production, and of its branches; bytes or `4GB`"
    )
    image: str = _setting("BUILD_IMAGE", "", "image of the build server, where builds run in containers")
    lease_s: int = _setting("BUILD_LEASE", 30, "seconds without a sign of life after which a build is tried again")
    attempts: int = _setting("BUILD_ATTEMPTS", 3, "tries at one deployment when the platform is at fault")


@dataclass(frozen=True, kw_only=True)
class DockerSettings:
    """Builds as containers of this machine (`SCALEMESH_BUILDER=docker`), Docker's or Podman's."""

    engine: str = _setting("DOCKER_ENGINE", "docker", "program of the engine: docker, podman or a path")
    network: str = _setting("DOCKER_NETWORK", "bridge", "network of agents; steps have none")


@dataclass(frozen=True, kw_only=True)
class KubernetesSettings:
    """Builds as Kubernetes Jobs (`SCALEMESH_BUILDER=kubernetes`), in the cluster of KUBECONFIG or our own pod's."""

    namespace: str = _setting("KUBERNETES_NAMESPACE", "scalemesh-builds", "namespace of the builds' Jobs")
    pull_policy: str = _setting("KUBERNETES_PULL_POLICY", "IfNotPresent", "imagePullPolicy of the build image")
    runtime_class: str = _setting("KUBERNETES_RUNTIME_CLASS", "", "runtimeClassName of builds, such as gvisor or kata")
    service_account: str = _setting(
        "KUBERNETES_SERVICE_ACCOUNT", "", "service account of builds; its token is not mounted"
    )
    node_selector: tuple[str, ...] = _setting(
        "KUBERNETES_NODE_SELECTOR", (), "labels of the nodes that builds run on, `label=value` by comma"
    )
    tolerations: str = _setting("KUBERNETES_TOLERATIONS", "", "tolerations of builds, a JSON list")
    cpu_request: float = _setting(
        "KUBERNETES_CPU_REQUEST", 0.5, "share of a build's processors (BUILD_CPUS) that its pod reserves"
    )
    unschedulable_s: int = _setting(
        "KUBERNETES_UNSCHEDULABLE", 600, "seconds without a node with room after which a build is tried again"
    )


@dataclass(frozen=True, kw_only=True)
class EcsSettings:
    """Builds as tasks of AWS ECS (`SCALEMESH_BUILDER=ecs`); keys and region come from where AWS's tools look."""

    cluster: str = _setting("ECS_CLUSTER", "scalemesh", "cluster of the builds' tasks")
    task_definition: str = _setting(
        "ECS_TASK_DEFINITION", "scalemesh-build", "task definition of deploy/aws, `family` or `family:revision`"
    )
    launch_type: str = _setting("ECS_LAUNCH_TYPE", "FARGATE", "FARGATE or EC2")
    capacity_providers: tuple[str, ...] = _setting(
        "ECS_CAPACITY_PROVIDERS", (), "in place of the launch type, `name:weight` by comma (`FARGATE_SPOT:4,FARGATE:1`)"
    )
    subnets: tuple[str, ...] = _setting("ECS_SUBNETS", (), "subnets of builds, by comma")
    security_groups: tuple[str, ...] = _setting("ECS_SECURITY_GROUPS", (), "security groups of builds, by comma")
    public_ip: bool = _setting("ECS_PUBLIC_IP", False, "1: builds have public addresses (subnets without a NAT)")
    parameters: str = _setting(
        "ECS_PARAMETERS", "/scalemesh/builds", "path in the SSM Parameter Store below which build tokens are"
    )
    capacity_s: int = _setting(
        "ECS_CAPACITY", 60, "seconds for which a launch waits for room before the build is tried again"
    )


@dataclass(frozen=True, kw_only=True)
class EdgeProxySettings:
    """Rewrites of sites to other sites, which the edge asks in the client's place."""

    allow: tuple[str, ...] = _setting(
        "EDGE_PROXY_ALLOW", (), "private addresses that sites may name: `host[:port]` or CIDR, by comma"
    )
    concurrency: int = _setting("EDGE_PROXY_CONCURRENCY", 100, "requests of one team under way, in one edge worker")
    request_bytes: int = _setting("EDGE_PROXY_REQUEST", 100 * 1024**2, "body of one request, bytes or `100MB`")
    response_bytes: int = _setting("EDGE_PROXY_RESPONSE", 1024**3, "answer to one request, bytes or `1GB`")
    timeout_s: float = _setting(
        "EDGE_PROXY_TIMEOUT", 120, "seconds for an answer to begin, and without a byte of it or of a WebSocket"
    )


@dataclass(frozen=True, kw_only=True)
class EdgeSettings:
    """The reverse proxy in front of the sites."""

    workers: int = _setting("EDGE_WORKERS", 1, "edge worker processes")
    token: str = _setting("EDGE_TOKEN", "", "token of an edge on another machine (`serve edge`)", secret=True)
    socket: str = _setting(
        "EDGE_SOCKET", "", "path of a unix socket for the sites, too, such as `/run/scalemesh/edge.sock`"
    )
    socket_mode: str = _setting("EDGE_SOCKET_MODE", "660", "its mode, in octal: who may write to it may connect")
    socket_group: str = _setting("EDGE_SOCKET_GROUP", "", "its group; default: the one the edge runs with")
    trusted: tuple[str, ...] = _setting(
        "EDGE_TRUSTED",
        (),
        "proxies in front of the edge, by comma: addresses, CIDR, `unix` for whoever connects to the unix socket; what "
        "they say of a client counts (PROXY protocol, `Forwarded`, `X-Forwarded-*`)",
    )
    keepalive_requests: int = _setting("EDGE_KEEPALIVE_REQUESTS", 1000, "requests on one connection; then it is closed")
    keepalive_time_s: float = _setting(
        "EDGE_KEEPALIVE_TIME", 3600, "seconds of one connection's life; the next answer then is its last"
    )
    keepalive_idle_s: float = _setting("EDGE_KEEPALIVE_IDLE", 75, "seconds of a connection without a request")
    drain_s: float = _setting("EDGE_DRAIN", 8, "seconds for answers that are under way when the edge stops")
    disk_bytes: int = _setting("EDGE_DISK", 20 * 1024**3, "disk for the edge's blobs, bytes or `20GB`")
    access_records: int = _setting(
        "EDGE_ACCESS_RECORDS", 100, "access records a second of one project in one edge worker; totals are always kept"
    )
    access_spool_bytes: int = _setting(
        "EDGE_ACCESS_SPOOL", 64 * 1024**2, "disk for access records that the API has not taken, bytes or `64MB`"
    )
    proxy: EdgeProxySettings = field(default_factory=EdgeProxySettings)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything an operator can set. Empty URLs are filled in by `load` from the data folder and the ports."""

    data_dir: Path = _setting(
        "DATA_DIR", None, "where everything is kept; default /var/lib/scalemesh or ~/.local/share/scalemesh"
    )
    host: str = _setting("HOST", "127.0.0.1", "address to listen on")
    api_port: int = _setting("API_PORT", 8000, "port of the dashboard and the API")
    edge_port: int = _setting("EDGE_PORT", 8080, "port of the sites")
    url: str = _setting("URL", "", "address of the dashboard as people type it; default http://localhost:<api port>")
    internal_url: str = _setting(
        "INTERNAL_URL", "", "address of the API as agents and edges reach it; default http://<host>:<api port>"
    )
    sites_url: str = _setting(
        "SITES_URL", "", "address of the sites with one `*`; default http://*.localhost:<edge port>"
    )
    allowed_hosts: tuple[str, ...] = _setting("ALLOWED_HOSTS", (), "more Host values that the API answers to, by comma")
    database_url: str = _setting("DATABASE_URL", "", "default sqlite+aiosqlite:///<data>/scalemesh.db", secret=True)
    storage_url: str = _setting("STORAGE_URL", "", "artifact store; default file:///<data>/artifacts")
    log_bus_url: str = _setting(
        "LOG_BUS_URL",
        "memory://",
        "log bus: `memory://` (one process), `redis://[user:password@]host:port/0` (6.2+, append-only file on), or "
        "`kafka://[user:password@]host:port[,host:port]/topic?replication=3`",
        secret=True,
    )
    log_archive_url: str = _setting(
        "LOG_ARCHIVE_URL",
        "",
        "log archive: `sqlite:///path`, or "
        "`clickhouse://[user:password@]host:8123/database?secure=true&retention_days=90` "
        "(0, the default: as long as the deployments); default sqlite:///<data>/logs.db",
        secret=True,
    )
    access_days: int = _setting("ACCESS_DAYS", 30, "days for which access records of the sites are kept")
    builder: str = _setting("BUILDER", "local", "where builds run: local, docker, kubernetes, ecs")
    secret_key: str = _setting(
        "SECRET_KEY",
        "",
        "key that encrypts secrets, 32 bytes in base64; default: made once, in <data>/secret.key (0600)",
        secret=True,
    )
    min_free_disk_bytes: int = _setting(
        "MIN_FREE_DISK", 1024**3, "free space in the data folder below which no new deployment is taken, bytes or `1GB`"
    )
    log_level: str = _setting("LOG_LEVEL", "info", "what is logged: debug (every request), info, warning, error")
    setup_token: str = _setting("SETUP_TOKEN", "", "fixes the first-run token, for automation", secret=True)
    build: BuildSettings = field(default_factory=BuildSettings)
    edge: EdgeSettings = field(default_factory=EdgeSettings)
    docker: DockerSettings = field(default_factory=DockerSettings)
    kubernetes: KubernetesSettings = field(default_factory=KubernetesSettings)
    ecs: EcsSettings = field(default_factory=EcsSettings)
