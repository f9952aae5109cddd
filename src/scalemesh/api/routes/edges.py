"""`edge/routes`: the feed that edges follow."""

import asyncio
from typing import Annotated

from fastapi import Query

from scalemesh.api.documents import v1
from scalemesh.api.identity import BY_EDGE, EdgeId
from scalemesh.api.services import Wired
from scalemesh.core.routes import RouteSnapshot

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
