"""`projects` and what hangs on one: variables, deploy key, aliases, a look at the repository."""

from typing import Annotated, Any, Literal

import msgspec
from fastapi import Query
from msgspec import UNSET, UnsetType

from scalemesh.api.documents import body, v1
from scalemesh.api.identity import BY_PERSON, Acting
from scalemesh.api.services import Wired
from scalemesh.core.build import BuildSettings
from scalemesh.core.documents import Document, decode
from scalemesh.core.page import Page
from scalemesh.deployments import AliasView
from scalemesh.errors import InvalidInput
from scalemesh.projects import EnvView, NewProject, ProjectChanges, ProjectView, QueueSettings
from scalemesh.sources import Peek

router = v1()

Cursor = Annotated[str | None, Query(description="`next` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=100)]
EnvTarget = Literal["production", "preview", "all"]


class CreateProject(Document, frozen=True):
    """Without `git_url`, the project takes uploads alone. What is left out is detected at each deployment."""

    name: str
    git_url: str | None = None
    production_branch: str | None = None
    known_hosts: str | None = None
    framework: str | None = None
    root_directory: str | None = None
    install_command: str | None = None
    build_command: str | None = None
    output_directory: str | None = None
    ignore_command: str | None = None
    flavour: str | None = None
    node_version: str | None = None
    reuse: bool | None = None
    concurrency: int | None = None
    cancel_running: bool = False
    skip_unaffected: bool = True


class ChangeProject(Document, frozen=True):
    """What is left out stays as it is; null goes back to detection."""

    git_url: str | UnsetType | None = UNSET
    production_branch: str | UnsetType | None = UNSET
    known_hosts: str | UnsetType | None = UNSET
    framework: str | UnsetType | None = UNSET
    root_directory: str | UnsetType | None = UNSET
    install_command: str | UnsetType | None = UNSET
    build_command: str | UnsetType | None = UNSET
    output_directory: str | UnsetType | None = UNSET
    ignore_command: str | UnsetType | None = UNSET
    flavour: str | UnsetType | None = UNSET
    node_version: str | UnsetType | None = UNSET
    reuse: bool | UnsetType | None = UNSET
    concurrency: int | UnsetType | None = UNSET
    cancel_running: bool | UnsetType = UNSET
    skip_unaffected: bool | UnsetType = UNSET


class NewVariable(Document, frozen=True):
    """`branch` null: of every branch. A `secret` one is never shown again."""

    value: str
    secret: bool = False
    target: EnvTarget = "all"
    branch: str | None = None


class NamedVariable(NewVariable, frozen=True, kw_only=True):
    key: str


class DeployKey(msgspec.Struct, frozen=True):
    public_key: str | None


@router.get("/projects", dependencies=BY_PERSON)
async def list_projects(actor: Acting, services: Wired, cursor: Cursor = None, limit: Limit = 20) -> Page[ProjectView]:
    """The team's projects, newest first."""
    return await services.projects.list(actor, cursor, limit)


@router.post("/projects", status_code=201, dependencies=BY_PERSON)
async def create_project(
    actor: Acting, services: Wired, new: Annotated[CreateProject, body(CreateProject)]
) -> ProjectView:
    """Make a project. Nothing is fetched before its first deployment."""
    settings = BuildSettings(**{name: value for name, value in _settings(new).items() if value is not None})
    return await services.projects.create(
        actor,
        NewProject(
            name=new.name,
            git_url=new.git_url,
            production_branch=new.production_branch,
            known_hosts=new.known_hosts,
            settings=settings,
            queue=QueueSettings(
                concurrency=new.concurrency, cancel_running=new.cancel_running, skip_unaffected=new.skip_unaffected
            ),
        ),
    )


@router.get("/projects/{project}", dependencies=BY_PERSON)
async def get_project(actor: Acting, services: Wired, project: str) -> ProjectView:
    """One project, by name or id."""
    return await services.projects.get(actor, project)


@router.patch("/projects/{project}", dependencies=BY_PERSON)
async def change_project(
    actor: Acting, services: Wired, project: str, changes: Annotated[ChangeProject, body(ChangeProject)]
) -> ProjectView:
    """Change settings; they count from the next deployment on."""
    settings = {name: value for name, value in _settings(changes).items() if value is not UNSET}
    return await services.projects.update(
        actor,
        project,
        ProjectChanges(
            git_url=changes.git_url,
            production_branch=changes.production_branch,
            known_hosts=changes.known_hosts,
            concurrency=changes.concurrency,
            cancel_running=changes.cancel_running,
            skip_unaffected=changes.skip_unaffected,
            settings=settings,
        ),
    )


@router.delete("/projects/{project}", status_code=204, dependencies=BY_PERSON)
async def delete_project(actor: Acting, services: Wired, project: str) -> None:
    """Remove a project with its deployments and URLs; running builds are stopped first."""
    await services.deployments.delete_project(actor, project)


@router.get("/projects/{project}/env", dependencies=BY_PERSON)
async def list_env(actor: Acting, services: Wired, project: str) -> Page[EnvView]:
    """The variables; secret ones without their value."""
    return Page([*await services.projects.list_env(actor, project)])


@router.post("/projects/{project}/env", status_code=201, dependencies=BY_PERSON)
async def add_env(
    actor: Acting, services: Wired, project: str, new: Annotated[NamedVariable, body(NamedVariable)]
) -> EnvView:
    """Set a variable; one of the same key, target and branch is replaced."""
    return await services.projects.set_env(
        actor, project, new.key, new.value, secret=new.secret, target=new.target, branch=new.branch
    )


@router.put("/projects/{project}/env/{key}", dependencies=BY_PERSON)
async def set_env(
    actor: Acting, services: Wired, project: str, key: str, new: Annotated[NewVariable, body(NewVariable)]
) -> EnvView:
    """Set a variable; one of the same target and branch is replaced."""
    return await services.projects.set_env(
        actor, project, key, new.value, secret=new.secret, target=new.target, branch=new.branch
    )


@router.delete("/projects/{project}/env/{key}", status_code=204, dependencies=BY_PERSON)
async def remove_env(
    actor: Acting,
    services: Wired,
    project: str,
    key: str,
    target: EnvTarget | None = None,
    branch: str | None = None,
) -> None:
    """Remove the variables of this key, of one target or branch where given."""
    await services.projects.remove_env(actor, project, key, target, branch)


@router.get("/projects/{project}/deploy-key", dependencies=BY_PERSON)
async def get_deploy_key(actor: Acting, services: Wired, project: str) -> DeployKey:
    """The public half of the deploy key; null before it is made."""
    return DeployKey((await services.projects.get(actor, project)).deploy_key)


@router.post("/projects/{project}/deploy-key", status_code=201, dependencies=BY_PERSON)
async def make_deploy_key(actor: Acting, services: Wired, project: str) -> DeployKey:
    """Make the deploy key; a second time answers the same one."""
    return DeployKey(await services.projects.deploy_key(actor, project))


@router.get("/projects/{project}/aliases", dependencies=BY_PERSON)
async def list_aliases(actor: Acting, services: Wired, project: str) -> Page[AliasView]:
    """The project's URLs, and the deployment that each serves."""
    return Page([*await services.deployments.aliases(actor, project)])


@router.get("/projects/{project}/inspect", dependencies=BY_PERSON)
async def inspect(
    actor: Acting,
    services: Wired,
    project: str,
    ref: Annotated[str | None, Query(max_length=255, description="Default: the production branch.")] = None,
) -> Peek:
    """What lies in the repository at this moment, and how it would be built."""
    row = await services.projects.row(actor, project)
    if row.git_url is None or row.internal:
        raise InvalidInput(f"{row.name} has no repository to look at.", code="no_repository")
    settings = decode(BuildSettings, row.settings)
    credentials = services.projects.credentials(row)
    return await services.sources.peek(row.git_url, ref or row.production_branch, settings, credentials)


def _settings(document: CreateProject | ChangeProject) -> dict[str, Any]:
    return {name: getattr(document, name) for name in BuildSettings.__struct_fields__}
