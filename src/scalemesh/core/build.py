"""What a build server is told (BuildSpec, Claim) and what it answers (BuildEvent, Batch).

The stored BuildSpec has secret *names* only; their values travel once per attempt, in the Claim.
"""

from typing import Literal

import msgspec

from scalemesh.core.documents import Document
from scalemesh.core.logs import LogLine

Step = Literal["clone", "detect", "install", "build", "upload"]
STEPS: tuple[Step, ...] = ("clone", "detect", "install", "build", "upload")


class GitSource(Document, frozen=True, tag="git", tag_field="kind"):
    """One exact commit of one repository. `commit` is 40 or 64 hexadecimal digits."""

    url: str
    commit: str
    ref: str | None = None


class UploadSource(Document, frozen=True, tag="upload", tag_field="kind"):
    """Files sent by the CLI: `tree` is the SHA-256 of the stored `UploadTree` blob."""

    tree: str


Source = GitSource | UploadSource


class UploadFile(Document, frozen=True):
    """One uploaded file: `path` relative, `/`-separated, normalised; `executable` keeps the x bit."""

    path: str
    sha256: str
    size: int
    executable: bool = False


class UploadTree(Document, frozen=True):
    files: list[UploadFile]


Flavour = Literal["vercel", "netlify", "cloudflare"]
"""Whose rule files a site follows, and whose lookup of files."""


class BuildSettings(Document, frozen=True):
    """What the project's owner set; None leaves it to detection. Commands run by `sh -c` inside the sandbox.

    `reuse`: a tree that has been built before with the same settings and variables is served again without a build.
    """

    framework: str | None = None
    root_directory: str = ""
    install_command: str | None = None
    build_command: str | None = None
    output_directory: str | None = None
    node_version: str | None = None
    reuse: bool = True
    ignore_command: str | None = None
    flavour: Flavour | None = None


class Limits(Document, frozen=True):
    """What one build may use. Every one is a setting; hitting one has its own `error.code`."""

    memory_bytes: int = 4 * 1024**3
    cpus: float = 2.0
    processes: int = 2048
    disk_bytes: int = 10 * 1024**3
    open_files: int = 65536
    build_timeout_s: int = 45 * 60
    log_bytes: int = 32 * 1024**2
    output_bytes: int = 2 * 1024**3
    output_files: int = 100_000
    path_bytes: int = 1024


class BuildSpec(Document, frozen=True):
    """One attempt at one deployment, whole: an agent needs nothing else but the Claim's secrets.

    `ignorable`: the project's ignore command may say that no build is wanted. `previous_commit` is that of the
    branch's last ready deployment.
    """

    deployment: str
    attempt: str
    number: int
    project: str
    project_name: str
    team: str
    target: Literal["production", "preview"]
    url: str
    source: Source
    settings: BuildSettings
    limits: Limits
    env_names: list[str] = []
    variables: dict[str, str] = {}
    commit_message: str = ""
    git_allow_private: bool = False
    egress_allow: list[str] = []
    cache: bool = True
    ignorable: bool = False
    previous_commit: str = ""
    production_url: str = ""
    version: Literal[1] = 1


class Credentials(Document, frozen=True):
    """For the clone alone; no step of the repository's ever sees them."""

    deploy_key: str | None = None
    known_hosts: str | None = None
    username: str | None = None
    password: str | None = None


class Claim(Document, frozen=True):
    """The answer to `claim`: given once per attempt and nonce. `first_seq` is the first log number to use."""

    spec: BuildSpec
    env: dict[str, str]
    secret_names: list[str]
    credentials: Credentials
    first_seq: int
    lease_s: int


class CacheScope(Document, frozen=True):
    """Whose caches a build has: builds for production never read what others have written."""

    project: str
    trust: Literal["production", "branch"]


class CacheList(Document, frozen=True):
    """What an agent leaves to be kept: entry → folders, relative to its directory; none: used as it is."""

    entries: dict[str, list[str]]


class CacheArchive(Document, frozen=True):
    """One folder (`path`, relative to a build's directory) as a blob: a tar in zstd. `url`: where else it is read."""

    path: str
    sha256: str
    size: int
    url: str = ""


class CacheIndex(Document, frozen=True):
    """Entry → archives in the artifact store, for builds that share no disk.

    From an agent: what this build leaves; an entry without archives has been of use, and stays as it is.
    """

    entries: dict[str, list[CacheArchive]]


class AgentOptions(Document, frozen=True):
    """How a backend starts an agent. `directory` is the build's own; `token` a file that no step sees,
    or `ssm:NAME`, a parameter that the agent's role in AWS may read.

    With the sandbox `container` the steps run in a container beside the agent's, which has `directory` and, read-only,
    `toolchains` at the same paths (`offline-container`: and no network but through the agent). The agent is then its
    own broker, and the token file not its to remove.
    `toolchains` is the store that steps see read-only at /opt, `broker` the folder of the socket to ask for more.
    `caches`: folders that earlier builds left, the nearest first; no step sees them.
    """

    url: str
    attempt: str
    directory: str
    token: str
    toolchains: str
    broker: str
    sandbox: Literal["bubblewrap", "container", "offline-container", "none"]
    limits: Limits
    caches: list[str] = []


class Plan(Document, frozen=True):
    """What will be built and where each value came from (`sources`: field → e.g. `package.json`, `project settings`).

    Commands are None where there is nothing to run; `ignore_command` ends with 0 where no build is wanted.
    `immutable` lists path prefixes whose file names carry a hash. `environment` is what netlify.toml sets.
    """

    framework: str | None = None
    framework_name: str = "Other"
    package_manager: str | None = None
    package_manager_version: str | None = None
    node_version: str | None = None
    install_command: str | None = None
    build_command: str | None = None
    output_directory: str = "."
    root_directory: str = ""
    immutable: list[str] = []
    toolchains: list[str] = []
    ignore_command: str | None = None
    environment: dict[str, str] = {}
    sources: dict[str, str] = {}


class SourceResolved(Document, frozen=True, tag="source", tag_field="type"):
    n: int
    commit: str
    tree: str
    message: str = ""
    author: str = ""


class PlanMade(Document, frozen=True, tag="plan", tag_field="type"):
    n: int
    plan: Plan


class StepStarted(Document, frozen=True, tag="step_started", tag_field="type"):
    n: int
    step: Step
    at: int


class StepFinished(Document, frozen=True, tag="step_finished", tag_field="type"):
    n: int
    step: Step
    at: int
    exit_code: int
    detail: str = ""


class BuildErrored(Document, frozen=True, tag="failed", tag_field="type"):
    """The end of a failed attempt. `infrastructure` faults are tried again, the others are the build's own."""

    n: int
    code: str
    message: str
    infrastructure: bool = False


class BuildIgnored(Document, frozen=True, tag="ignored", tag_field="type"):
    """The end of an attempt whose project wants no build of this commit."""

    n: int
    message: str


BuildEvent = SourceResolved | PlanMade | StepStarted | StepFinished | BuildErrored | BuildIgnored


class Batch(Document, frozen=True):
    """Log lines that continue the log (`lines[0].seq` is the next number wanted) and events that continue at `n`."""

    lines: list[LogLine] = []
    events: list[BuildEvent] = []


class BatchAnswer(Document, frozen=True):
    """`next_seq` and `next_event`: the next numbers wanted; what lies below is durable. `cancel`: stop now."""

    next_seq: int
    next_event: int
    cancel: bool = False


class HeartbeatAnswer(Document, frozen=True):
    cancel: bool
    lease_s: int


class BlobRef(Document, frozen=True):
    """A blob of the team: SHA-256 of its own bytes (64 hexadecimal digits) and its size in bytes."""

    sha256: str
    size: int


class Missing(Document, frozen=True):
    blobs: list[BlobRef]


class MissingAnswer(Document, frozen=True):
    missing: list[str]


class SignedPut(Document, frozen=True):
    """Where one blob may be put past the API: `PUT url` with exactly these headers and the blob's bytes."""

    sha256: str
    url: str
    headers: dict[str, str]


class SignedPuts(Document, frozen=True):
    """In the order asked for; empty where the store signs nothing, and blobs travel through the API."""

    puts: list[SignedPut]


class ClaimRequest(Document, frozen=True):
    nonce: str = msgspec.field()
