"""`hooks/{project}`: what a Git host sends; `projects/{p}/hook`: what it is to be told."""

from typing import Annotated

import msgspec
from fastapi import Header, Request

from scalemesh.api.documents import chunks, v1
from scalemesh.api.identity import BY_PERSON, Acting
from scalemesh.api.services import Services, Wired
from scalemesh.deployments import HookAnswer

MAX_PAYLOAD_BYTES = 25 * 1024**2  # GitHub's own limit

router = v1()


class HookView(msgspec.Struct, frozen=True):
    """For the repository's settings: where pushes go and what signs them. `secret` None: pushes are refused."""

    url: str
    secret: str | None


@router.post("/hooks/{project}", status_code=202)
async def receive(
    services: Wired,
    request: Request,
    project: str,
    signature: Annotated[str, Header(alias="X-Hub-Signature-256")] = "",
    event: Annotated[str, Header(alias="X-GitHub-Event")] = "",
    delivery: Annotated[str, Header(alias="X-GitHub-Delivery")] = "",
    content_type: Annotated[str, Header()] = "application/json",
) -> HookAnswer:
    """GitHub's push event, signed with the project's hook secret: a deployment, or why not."""
    body = b"".join([chunk async for chunk in chunks(request, MAX_PAYLOAD_BYTES)])
    return await services.deployments.hooks.receive(
        project, body, signature=signature, event=event, delivery=delivery, content_type=content_type
    )


@router.get("/projects/{project}/hook", dependencies=BY_PERSON)
async def get_hook(actor: Acting, services: Wired, project: str) -> HookView:
    """The push hook's URL, and its secret once it is made."""
    return await _view(services, actor, project, await services.projects.hook(actor, project))


@router.post("/projects/{project}/hook", status_code=201, dependencies=BY_PERSON)
async def make_hook(actor: Acting, services: Wired, project: str) -> HookView:
    """Make the secret; a second time answers the same one. For another one, remove it first."""
    return await _view(services, actor, project, await services.projects.make_hook(actor, project))


@router.delete("/projects/{project}/hook", status_code=204, dependencies=BY_PERSON)
async def remove_hook(actor: Acting, services: Wired, project: str) -> None:
    """Forget the secret: pushes are refused until a new one is made."""
    await services.projects.remove_hook(actor, project)


async def _view(services: Services, actor: Acting, project: str, secret: str | None) -> HookView:
    row = await services.projects.row(actor, project)
    return HookView(f"{services.url}/v1/hooks/{row.id}", secret)
