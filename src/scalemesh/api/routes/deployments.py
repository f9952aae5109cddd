"""`projects/{p}/deployments`, `projects/{p}/rollback`, `deployments/{id}` and the acts on one."""

from typing import Annotated

from fastapi import Query

from scalemesh.api.documents import body, v1
from scalemesh.api.identity import BY_PERSON, Acting
from scalemesh.api.routes.projects import Cursor, Limit
from scalemesh.api.services import Wired
from scalemesh.core.decision import Decision
from scalemesh.core.page import Page
from scalemesh.deployments import DeploymentView, FileView, NewDeployment, RulesView
from scalemesh.errors import InvalidInput

MAX_DEPLOYMENT_BYTES = 32 * 1024**2  # an upload lists its files

router = v1()


@router.get("/projects/{project}/deployments", dependencies=BY_PERSON)
async def list_deployments(
    actor: Acting, services: Wired, project: str, cursor: Cursor = None, limit: Limit = 20
) -> Page[DeploymentView]:
    """A project's deployments, newest first."""
    return await services.deployments.list(actor, project, cursor, limit)


@router.post("/projects/{project}/deployments", status_code=201, dependencies=BY_PERSON)
async def create_deployment(
    actor: Acting,
    services: Wired,
    project: str,
    new: Annotated[NewDeployment, body(NewDeployment, MAX_DEPLOYMENT_BYTES)],
) -> DeploymentView:
    """Deploy a branch, tag or commit, or uploaded files."""
    return await services.deployments.create(actor, project, new)


@router.post("/projects/{project}/rollback", dependencies=BY_PERSON)
async def rollback(actor: Acting, services: Wired, project: str) -> DeploymentView:
    """Put the deployment back that was production before, and pin it until the next promote."""
    return await services.deployments.rollback(actor, project)


@router.get("/deployments/{deployment}", dependencies=BY_PERSON)
async def get_deployment(actor: Acting, services: Wired, deployment: str) -> DeploymentView:
    """One deployment."""
    return await services.deployments.get(actor, deployment)


@router.delete("/deployments/{deployment}", status_code=204, dependencies=BY_PERSON)
async def delete_deployment(actor: Acting, services: Wired, deployment: str) -> None:
    """Remove one that is over and not in production; its URL stops answering."""
    await services.deployments.delete(actor, deployment)


@router.post("/deployments/{deployment}/cancel", dependencies=BY_PERSON)
async def cancel(actor: Acting, services: Wired, deployment: str) -> DeploymentView:
    """Stop it. A running one is `canceled` as soon as nothing of it is left."""
    return await services.deployments.cancel(actor, deployment)


@router.post("/deployments/{deployment}/promote", dependencies=BY_PERSON)
async def promote(actor: Acting, services: Wired, deployment: str) -> DeploymentView:
    """Make a ready deployment production."""
    return await services.deployments.promote(actor, deployment)


@router.post("/deployments/{deployment}/redeploy", status_code=201, dependencies=BY_PERSON)
async def redeploy(actor: Acting, services: Wired, deployment: str) -> DeploymentView:
    """Build the same source again, with the project's settings of now."""
    return await services.deployments.redeploy(actor, deployment)


@router.get("/deployments/{deployment}/files", dependencies=BY_PERSON)
async def list_files(
    actor: Acting,
    services: Wired,
    deployment: str,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
) -> Page[FileView]:
    """What it serves, by path."""
    found = await services.deployments.contents.files(actor, deployment)
    if cursor is not None and all(file.path != cursor for file in found):
        raise InvalidInput("That is not a cursor of this list.", code="invalid_cursor", field="cursor")
    rest = [file for file in found if file.path > (cursor or "")]
    return Page(rest[:limit], rest[limit - 1].path if len(rest) > limit else None)


@router.get("/deployments/{deployment}/rules", dependencies=BY_PERSON)
async def rules(actor: Acting, services: Wired, deployment: str) -> RulesView:
    """Its redirects, rewrites and headers: how many, whose, and what is wrong with the files that they come from."""
    return await services.deployments.contents.rules(actor, deployment)


@router.get("/deployments/{deployment}/explain", dependencies=BY_PERSON)
async def explain(
    actor: Acting,
    services: Wired,
    deployment: str,
    path: Annotated[str, Query(max_length=8192, description="As in a request: `/blog/post?page=2`.")],
    method: Annotated[str, Query(max_length=20)] = "GET",
    header: Annotated[list[str] | None, Query(max_length=100, description="`Name: value`; repeatable.")] = None,
) -> Decision:
    """What the edge answers to `path`, from which file, and which rules said so."""
    split = (line.partition(":") for line in header or [])
    headers = {name.strip().lower().encode(): value.strip().encode("latin-1", "replace") for name, _, value in split}
    return await services.deployments.contents.explain(actor, deployment, path, method.upper(), headers)
