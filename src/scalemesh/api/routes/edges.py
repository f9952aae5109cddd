"""`edge/routes`: the feed that edges follow; `edge/access`: what they tell of their requests."""

import asyncio
from typing import Annotated

from fastapi import Query

from scalemesh.api.documents import body, v1
from scalemesh.api.identity import BY_EDGE, EdgeId
from scalemesh.api.services import Wired
from scalemesh.core.access import AccessReport
from scalemesh.core.routes import RouteSnapshot

REPORT_BYTES = 2 * 1024**2

router = v1()


@router.get("/edge/routes", dependencies=BY_EDGE)
async def routes(
    edge: EdgeId,
    services: Wired,
    after: Annotated[int, Query(ge=0)] = 0,
    wait: Annotated[float, Query(ge=0, le=60)] = 20,
) -> RouteSnapshot:
    """Every change after a version, waiting for one; asking acknowledges that version."""
    poll = asyncio.create_task(services.deployments.routes.poll(edge, after, wait))
    stop = asyncio.create_task(services.stopping.wait())
    try:
        await asyncio.wait({poll, stop}, return_when=asyncio.FIRST_COMPLETED)
        return poll.result() if poll.done() else RouteSnapshot(version=after, routes=[])
    finally:
        poll.cancel()
        stop.cancel()


@router.post("/edge/access", dependencies=BY_EDGE, status_code=204)
async def access(
    edge: EdgeId, services: Wired, report: Annotated[AccessReport, body(AccessReport, REPORT_BYTES)]
) -> None:
    """Batches of access records; the answer means that they are kept. The same ones again count once."""
    await services.logs.publish_access(report.batches)
    services.metrics.access_dropped[edge] = report.dropped
