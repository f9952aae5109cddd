"""What an edge knows: which host serves which deployment. The document of `GET /v1/edge/routes?after=V`."""

from scalemesh.core.build import BlobRef
from scalemesh.core.documents import Document


class Route(Document, frozen=True):
    """One host. `manifest` None means released: the edge forgets the host. `production` False adds `noindex`."""

    host: str
    version: int
    team: str = ""
    project: str = ""
    deployment: str = ""
    manifest: BlobRef | None = None
    production: bool = False


class RouteSnapshot(Document, frozen=True):
    """Every change after the version asked for, up to `version`; `full`: forget all others."""

    version: int
    routes: list[Route]
    full: bool = False
