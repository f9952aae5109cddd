"""What the routes work with: built and opened by the composition root, one per process."""

import asyncio
from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends
from starlette.requests import HTTPConnection

from scalemesh.accounts import Accounts
from scalemesh.api.metrics import Metrics
from scalemesh.db import Database
from scalemesh.deployments import Deployments
from scalemesh.logs import LogService
from scalemesh.projects import Projects
from scalemesh.sources import Sources


@dataclass(frozen=True, kw_only=True)
class Services:
    """`url` is the dashboard's address as people type it; `hosts` are the Host names that we answer to.

    `stopping` is set when the process begins to stop: whoever waits for something answers at once.
    """

    db: Database
    accounts: Accounts
    projects: Projects
    deployments: Deployments
    sources: Sources
    logs: LogService
    url: str
    sites_url: str
    hosts: frozenset[str]
    metrics: Metrics = field(default_factory=Metrics)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_https(self) -> bool:
        return self.url.startswith("https://")

    @property
    def session_cookie(self) -> str:
        """`__Host-` ties the cookie to this very host; browsers take it on https alone."""
        return "__Host-scalemesh" if self.is_https else "scalemesh"

    def is_own_origin(self, origin: str, host: str) -> bool:
        """Whether `origin` is the dashboard's address, or the very host asked, which `hosts` has let in."""
        ours = urlsplit(self.url)
        return origin in {f"{ours.scheme}://{ours.netloc}", f"{ours.scheme}://{host}"}


async def _services(connection: HTTPConnection) -> Services:
    found: Services = connection.app.state.services
    return found


Wired = Annotated[Services, Depends(_services)]
"""A route's parameter: everything that the composition root has opened."""
