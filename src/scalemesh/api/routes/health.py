"""`/healthz`, `/readyz`, `/metrics`: for machines that watch this one."""

import asyncio
import ipaddress

import msgspec
from fastapi import APIRouter, Request
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response

from scalemesh.accounts import authorize
from scalemesh.api.documents import DocumentRoute
from scalemesh.api.identity import actor_of
from scalemesh.api.services import Services, Wired
from scalemesh.core.clock import now_ms
from scalemesh.deployments import counts
from scalemesh.errors import Unavailable

_ANSWER_S = 3

router = APIRouter(route_class=DocumentRoute)


class Health(msgspec.Struct, frozen=True):
    status: str


@router.get("/healthz")
async def alive() -> Health:
    """This process answers."""
    return Health("ok")


@router.get("/readyz")
async def ready(services: Wired) -> Health:
    """The database answers, too."""
    try:
        async with asyncio.timeout(_ANSWER_S):
            await services.deployments.routes.version()
    except (SQLAlchemyError, OSError, TimeoutError) as error:
        raise Unavailable("The database does not answer.", code="database_unavailable") from error
    if services.stopping.is_set():
        raise Unavailable("This process is stopping.", code="stopping")
    return Health("ok")


@router.get("/metrics")
async def metrics(request: Request, services: Wired) -> Response:
    """Prometheus' text format; from this machine, or with an owner's API token."""
    if not _is_local(request):
        authorize(await actor_of(request, services), "team:write")
    gauges = {"scalemesh_deployments": await _deployments(services), **await counts.queue(services.db, now_ms())}
    gauges["scalemesh_edge_access_dropped"] = {
        f'edge="{edge}"': count for edge, count in services.metrics.access_dropped.items()
    }
    gauges["scalemesh_logs_set_aside"] = await _set_aside(services)
    return Response(services.metrics.render(gauges), media_type="text/plain; version=0.0.4")


async def _deployments(services: Services) -> dict[str, float]:
    return {f'state="{state}"': count for state, count in (await counts.by_state(services.db)).items()}


async def _set_aside(services: Services) -> dict[str, float]:
    """No value where the log bus does not answer: the others are needed then, and soon."""
    try:
        async with asyncio.timeout(_ANSWER_S):
            return {"": await services.logs.count_set_aside()}
    except (Unavailable, TimeoutError):
        return {}


def _is_local(request: Request) -> bool:
    """From a program on this machine, not from a proxy on it that speaks for somebody else."""
    if request.client is None or {"forwarded", "x-forwarded-for"} & set(request.headers):
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
