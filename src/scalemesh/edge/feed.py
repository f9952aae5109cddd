"""The route feed, from the edge's side: `GET /v1/edge/routes?after=V&wait=S`, a long poll that acknowledges V."""

from scalemesh.core.documents import decode
from scalemesh.core.routes import RouteSnapshot
from scalemesh.edge.http_client import HttpClient
from scalemesh.errors import Forbidden, Unavailable

WAIT_S = 20


class RouteFeed:
    """Asks for changes. `poll(after)` says to the platform that everything up to `after` is in force here."""

    def __init__(self, base_url: str, token: str) -> None:
        self._http = HttpClient(base_url, {"Authorization": f"Bearer {token}", "Accept": "application/json"})

    async def poll(self, after: int, *, wait_s: int = WAIT_S) -> RouteSnapshot:
        """The changes after version `after`; waits up to `wait_s` for one. Raises Unavailable, or Forbidden (token)."""
        status, body = await self._http.get(f"/v1/edge/routes?after={after}&wait={wait_s}", timeout_s=wait_s + 10)
        if status in {401, 403}:
            raise Forbidden("The platform refuses this edge's token.", hint="Set SCALEMESH_EDGE_TOKEN anew.")
        if status != 200:
            raise Unavailable(f"The route feed answered {status}.")
        return decode(RouteSnapshot, body)

    def close(self) -> None:
        self._http.close()
