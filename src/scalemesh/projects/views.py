"""What goes into and comes out of Projects; ProjectView and EnvView are the API's JSON."""

from collections.abc import Mapping

import msgspec
from msgspec import UNSET, UnsetType

from scalemesh.core.build import BuildSettings
from scalemesh.core.clock import rfc3339
from scalemesh.core.documents import Document, decode
from scalemesh.db.tables import Deployment, EnvVar, Project


class QueueSettings(Document, frozen=True):
    """How a project's deployments share the queue. `concurrency`: builds at once, None as the operator says, 0 any.

    `cancel_running`: a newer push ends its branch's running previews, too. `skip_unaffected`: a push that changed
    nothing under the root directory is not built.
    """

    concurrency: int | None = None
    cancel_running: bool = False
    skip_unaffected: bool = True


class NewProject(Document, frozen=True):
    """Without `git_url`, the project takes uploads alone. `production_branch` None: the repository's default branch."""

    name: str
    git_url: str | None = None
    production_branch: str | None = None
    settings: BuildSettings = BuildSettings()
    queue: QueueSettings = QueueSettings()
    known_hosts: str | None = None


class ProjectChanges(Document, frozen=True):
    """What to change; UNSET stays. `settings` has the fields of BuildSettings to change, None to reset one."""

    git_url: str | UnsetType | None = UNSET
    production_branch: str | UnsetType | None = UNSET
    known_hosts: str | UnsetType | None = UNSET
    concurrency: int | UnsetType | None = UNSET
    cancel_running: bool | UnsetType = UNSET
    skip_unaffected: bool | UnsetType = UNSET
    settings: Mapping[str, str | bool | None] = {}


class LatestDeployment(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    state: str
    target: str
    created_at: str


class ProjectView(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str
    team: str
    git_url: str | None
    production_branch: str | None
    framework: str | None
    root_directory: str
    install_command: str | None
    build_command: str | None
    output_directory: str | None
    ignore_command: str | None
    flavour: str | None
    node_version: str | None
    reuse: bool
    concurrency: int | None
    cancel_running: bool
    skip_unaffected: bool
    production_url: str
    production_deployment: str | None
    pinned: bool
    deploy_key: str | None
    latest: LatestDeployment | None
    created_at: str
    updated_at: str


class EnvView(msgspec.Struct, frozen=True, kw_only=True):
    """`value` is None for a secret one. `branch` None: every branch."""

    key: str
    value: str | None
    secret: bool
    target: str
    branch: str | None
    created_at: str
    updated_at: str


def project_view(row: Project, team_slug: str, production_url: str, latest: LatestDeployment | None) -> ProjectView:
    settings = decode(BuildSettings, row.settings)
    return ProjectView(
        id=row.id,
        name=row.name,
        team=team_slug,
        git_url=None if row.internal else row.git_url,
        production_branch=row.production_branch,
        **msgspec.structs.asdict(settings),
        concurrency=row.concurrency,
        cancel_running=row.cancel_running,
        skip_unaffected=row.skip_unaffected,
        production_url=production_url,
        production_deployment=row.production_deployment_id,
        pinned=row.pinned,
        deploy_key=row.deploy_key_public,
        latest=latest,
        created_at=rfc3339(row.created_at),
        updated_at=rfc3339(row.updated_at),
    )


def latest_view(row: Deployment, state: str) -> LatestDeployment:
    return LatestDeployment(id=row.id, state=state, target=row.target, created_at=rfc3339(row.created_at))


def env_view(row: EnvVar, value: str | None) -> EnvView:
    return EnvView(
        key=row.key,
        value=value,
        secret=row.secret,
        target=row.target,
        branch=row.branch or None,
        created_at=rfc3339(row.created_at),
        updated_at=rfc3339(row.updated_at),
    )
