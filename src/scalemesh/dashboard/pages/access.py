"""Who asked a project's sites for what: the latest records, and figures of the last hour."""

from fastapi import Response

from scalemesh.core.clock import now_ms
from scalemesh.dashboard.services import Services
from scalemesh.dashboard.visit import MemberVisit
from scalemesh.logs.access.base import Wanted
from scalemesh.logs.access.summary import Figures, figures

_SHOWN = 50
_HOUR_MS = 3_600_000
_CLASSES = {"": (100, 599), "2xx": (200, 299), "3xx": (300, 399), "4xx": (400, 499), "5xx": (500, 599)}


class AccessPages:
    def __init__(self, services: Services) -> None:
        self._projects = services.projects
        self._logs = services.logs

    async def latest(self, visit: MemberVisit) -> Response:
        project = await self._projects.get(visit.actor, visit.part("project"))
        chosen = visit.query("status")
        if chosen not in _CLASSES:
            chosen = ""
        wanted = Wanted(project.id, statuses=_CLASSES[chosen])
        found = await self._logs.access.records(wanted, limit=_SHOWN)
        hour = figures(await self._logs.access.sums(Wanted(project.id, since=now_ms() - _HOUR_MS), _HOUR_MS))
        return visit.page(
            "access.html",
            project=project,
            records=[each.record for each in found],
            hour=hour,
            classes=[(name, _requests(hour, span)) for name, span in _CLASSES.items()],
            chosen=chosen,
            error=None,
        )


def _requests(of: Figures, span: tuple[int, int]) -> int:
    return sum(count for status, count in of.statuses.items() if span[0] <= status <= span[1])
