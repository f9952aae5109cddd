"""What the pages need: given by the composition root, as to the API."""

from typing import Protocol

from scalemesh.accounts import Accounts
from scalemesh.deployments import Deployments
from scalemesh.logs import LogService
from scalemesh.projects import Projects
from scalemesh.sources import Sources


class Services(Protocol):
    """`url`: the dashboard's own address as people type it; `sites_url`: the sites', with one `*`.

    The cookie's name, and which Origins are our own, are the API's too.
    """

    @property
    def accounts(self) -> Accounts: ...
    @property
    def projects(self) -> Projects: ...
    @property
    def deployments(self) -> Deployments: ...
    @property
    def sources(self) -> Sources: ...
    @property
    def logs(self) -> LogService: ...
    @property
    def url(self) -> str: ...
    @property
    def sites_url(self) -> str: ...
    @property
    def session_cookie(self) -> str: ...
    def is_own_origin(self, origin: str, host: str) -> bool: ...
