"""`projects/{p}/uploads/…`: the files of a folder, sent before the deployment that is made of them."""

from typing import Annotated

from fastapi import Request

from scalemesh.api.documents import body, chunks, v1
from scalemesh.api.identity import BY_PERSON, Acting
from scalemesh.api.services import Wired
from scalemesh.core.build import Missing, MissingAnswer

MAX_MISSING_BYTES = 16 * 1024**2
MAX_BLOBS_BYTES = 16 * 1024**3

router = v1()


@router.post("/projects/{project}/uploads/missing", dependencies=BY_PERSON)
async def missing_blobs(
    actor: Acting, services: Wired, project: str, asked: Annotated[Missing, body(Missing, MAX_MISSING_BYTES)]
) -> MissingAnswer:
    """Which of these blobs have to be sent."""
    return MissingAnswer(missing=await services.deployments.uploads.missing(actor, project, asked.blobs))


@router.post("/projects/{project}/uploads/blobs", status_code=204, dependencies=BY_PERSON)
async def put_blobs(actor: Acting, services: Wired, project: str, request: Request) -> None:
    """Blobs in one body: for each, 32 bytes SHA-256, 8 bytes size (big-endian), its bytes."""
    await services.deployments.uploads.put(actor, project, chunks(request, MAX_BLOBS_BYTES))
