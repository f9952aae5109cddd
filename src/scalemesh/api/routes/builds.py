"""`builds/{attempt}/…`: what an agent may ask, with the token of its attempt."""

from typing import Annotated

from fastapi import Depends, Request
from starlette.responses import Response, StreamingResponse

from scalemesh.api.documents import Body, DirectRoute, body, chunks, v1
from scalemesh.api.identity import BY_AGENT, BuildToken, bearer
from scalemesh.api.services import Services, Wired
from scalemesh.core.build import (
    Batch,
    BatchAnswer,
    CacheIndex,
    Claim,
    ClaimRequest,
    HeartbeatAnswer,
    Missing,
    MissingAnswer,
    SignedPuts,
)
from scalemesh.core.manifest import Manifest
from scalemesh.deployments.builds import Build

MAX_BATCH_BYTES = 8 * 1024**2
MAX_MISSING_BYTES = 64 * 1024**2
MAX_MANIFEST_BYTES = 128 * 1024**2  # 100,000 files with all their variants
MAX_BLOBS_BYTES = 16 * 1024**3
_BATCH = Body(Batch, MAX_BATCH_BYTES)

router = v1()
reports = v1(DirectRoute)


async def _build(services: Wired, attempt: str, token: BuildToken) -> Build:
    return await services.deployments.builds.authenticate(attempt, token)


Attempted = Annotated[Build, Depends(_build)]


@reports.post("/builds/{attempt}/events", dependencies=[*BY_AGENT, Depends(_build), Depends(_BATCH)])
async def send_events(request: Request) -> BatchAnswer:
    """Log lines and events that continue the cursor; what lies below the answer's numbers is durable."""
    services: Services = request.app.state.services
    build = await services.deployments.builds.recognize(request.path_params["attempt"], bearer(request))
    return await services.deployments.builds.ingest(build, await _BATCH(request))


router.routes.extend(reports.routes)


@router.post("/builds/{attempt}/claim", dependencies=BY_AGENT)
async def claim(build: Attempted, services: Wired, asked: Annotated[ClaimRequest, body(ClaimRequest)]) -> Claim:
    """The BuildSpec and its secrets, once per attempt and nonce."""
    return await services.deployments.builds.claim(build, asked.nonce)


@router.post("/builds/{attempt}/heartbeat", dependencies=BY_AGENT)
async def heartbeat(build: Attempted, services: Wired) -> HeartbeatAnswer:
    """Prolongs the lease; the answer says whether to stop."""
    return await services.deployments.builds.heartbeat(build)


@router.post("/builds/{attempt}/missing", dependencies=BY_AGENT)
async def missing_blobs(
    build: Attempted, services: Wired, asked: Annotated[Missing, body(Missing, MAX_MISSING_BYTES)]
) -> MissingAnswer:
    """Which of these blobs the team does not have."""
    return MissingAnswer(missing=await services.deployments.builds.missing(build, asked.blobs))


@router.post("/builds/{attempt}/blobs", status_code=204, dependencies=BY_AGENT)
async def put_blobs(build: Attempted, services: Wired, request: Request) -> None:
    """Blobs in one body: for each, 32 bytes SHA-256, 8 bytes size (big-endian), its bytes."""
    await services.deployments.builds.put_blobs(build, chunks(request, MAX_BLOBS_BYTES))


@router.post("/builds/{attempt}/presign", dependencies=BY_AGENT)
async def presign(
    build: Attempted, services: Wired, asked: Annotated[Missing, body(Missing, MAX_MISSING_BYTES)]
) -> SignedPuts:
    """Where to put these blobs past the API, and with which headers; empty where only `blobs` takes them."""
    return SignedPuts(puts=await services.deployments.builds.presign(build, asked.blobs))


@router.post("/builds/{attempt}/stored", status_code=204, dependencies=BY_AGENT)
async def stored(build: Attempted, services: Wired, done: Annotated[Missing, body(Missing, MAX_MISSING_BYTES)]) -> None:
    """These blobs have been put where `presign` said."""
    await services.deployments.builds.stored(build, done.blobs)


@router.post("/builds/{attempt}/manifest", status_code=204, dependencies=BY_AGENT)
async def publish(
    build: Attempted, services: Wired, manifest: Annotated[Manifest, body(Manifest, MAX_MANIFEST_BYTES)]
) -> None:
    """What the deployment serves; it is ready when this answers."""
    await services.deployments.builds.accept_manifest(build, manifest)


@router.get("/builds/{attempt}/caches", dependencies=BY_AGENT)
async def caches(build: Attempted, services: Wired) -> CacheIndex:
    """Archives that earlier builds of the project have left for this one."""
    return await services.deployments.builds.caches(build)


@router.get("/builds/{attempt}/caches/{sha256}", dependencies=BY_AGENT)
async def archive(build: Attempted, services: Wired, sha256: str) -> Response:
    """One of those archives."""
    chunks = await services.deployments.builds.archive(build, sha256)
    return StreamingResponse(chunks, media_type="application/zstd")


@router.post("/builds/{attempt}/caches", status_code=204, dependencies=BY_AGENT)
async def leave_caches(build: Attempted, services: Wired, index: Annotated[CacheIndex, body(CacheIndex)]) -> None:
    """What this build leaves to later ones, if it becomes ready; its blobs have been sent."""
    await services.deployments.builds.leave(build, index)


@router.get("/builds/{attempt}/source", dependencies=BY_AGENT)
async def source(build: Attempted, services: Wired) -> Response:
    """The uploaded files as a tar stream."""
    return StreamingResponse(await services.deployments.builds.source_tar(build), media_type="application/x-tar")
