"""The ASGI application: routes, problems, the guard around them, and whatever pages the composition root adds."""

from collections.abc import Sequence

from fastapi import APIRouter, FastAPI
from starlette.types import ASGIApp

from scalemesh.api import openapi, problems
from scalemesh.api.guard import Guard
from scalemesh.api.routes import (
    access,
    accounts,
    builds,
    deployments,
    edges,
    health,
    hooks,
    log_search,
    logs,
    projects,
    uploads,
)
from scalemesh.api.services import Services

# The first that fits answers, and each costs a look: those that machines ask come first.
_ROUTES = (builds, edges, logs, deployments, projects, accounts, log_search, access, uploads, hooks, health)


def create_app(services: Services, pages: Sequence[APIRouter] = ()) -> ASGIApp:
    """Everything that one process answers. `pages` come after the API, and are not in /openapi.json."""
    return Guard(routes(services, pages), services)


def routes(services: Services, pages: Sequence[APIRouter] = ()) -> FastAPI:
    """Without the guard: to be looked at."""
    app = FastAPI(docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.services = services
    problems.install(app)
    openapi.install(app)
    for module in _ROUTES:
        app.router.routes.extend(module.router.routes)
    for page in pages:
        app.include_router(page)
    return app
