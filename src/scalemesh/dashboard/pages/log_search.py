"""Search in the logs of all of a project's deployments: hits between their neighbours, newest deployment first."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any, get_args

from fastapi import Response

from scalemesh.core.clock import now_ms
from scalemesh.core.logs import Level, LogLine
from scalemesh.dashboard.services import Services
from scalemesh.dashboard.visit import MemberVisit
from scalemesh.errors import InvalidInput
from scalemesh.logs.hits import Found, Hit
from scalemesh.logs.search import Mode, Search

_SHOWN = 20
_CONTEXT = 1
_HOUR_MS = 3_600_000
_SPANS = {"": None, "1": _HOUR_MS, "24": 24 * _HOUR_MS, "168": 7 * 24 * _HOUR_MS}
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "mode": get_args(Mode),
    "level": ("", *get_args(Level)),
    "step": ("", "clone", "detect", "install", "build", "upload"),
    "hours": tuple(_SPANS),
}


@dataclass(frozen=True)
class Shown:
    """One line of a hit: `pieces` of its text, each with whether it is what was searched for."""

    line: LogLine
    pieces: list[tuple[str, bool]]
    is_hit: bool


class LogSearchPages:
    def __init__(self, services: Services) -> None:
        self._projects = services.projects
        self._deployments = services.deployments

    async def search(self, visit: MemberVisit) -> Response:
        project = await self._projects.get(visit.actor, visit.part("project"))
        asked = {"q": visit.query("q"), **{name: _chosen(visit, name) for name in _CHOICES}}
        is_asked = any((asked["q"], asked["level"], asked["step"]))
        context: dict[str, Any] = {"project": project, "asked": asked, "is_asked": is_asked}
        try:
            found = await self._find(visit, project.id, asked) if is_asked else Found([], None)
        except InvalidInput as error:
            return visit.again("log-search.html", error, groups=[], next=None, **context)
        return visit.page("log-search.html", groups=_groups(found), next=found.next, error=None, **context)

    async def _find(self, visit: MemberVisit, project: str, asked: Mapping[str, str]) -> Found:
        span = _SPANS[asked["hours"]]
        search = Search(
            asked["q"],
            asked["mode"],  # type: ignore[arg-type]  # one of _CHOICES
            asked["level"] or None,  # type: ignore[arg-type]
            asked["step"] or None,
            since=None if span is None else now_ms() - span,
        )
        cursor = visit.query("cursor") or None
        return await self._deployments.log.search_project(visit.actor, project, search, cursor, _SHOWN, _CONTEXT)


def _chosen(visit: MemberVisit, name: str) -> str:
    """What was chosen, or the first choice."""
    asked = visit.query(name)
    return asked if asked in _CHOICES[name] else _CHOICES[name][0]


def _groups(found: Found) -> list[tuple[str, list[list[Shown]]]]:
    """Deployment → its hits."""
    of = groupby(found.hits, key=lambda hit: hit.line.deployment)
    return [(deployment, [_shown(hit) for hit in hits]) for deployment, hits in of]


def _shown(hit: Hit) -> list[Shown]:
    before, after = ([Shown(line, [(line.text, False)], False) for line in lines] for lines in (hit.before, hit.after))
    return [*before, Shown(hit.line, list(_pieces(hit)), True), *after]


def _pieces(hit: Hit) -> Iterator[tuple[str, bool]]:
    at = 0
    for start, end in hit.ranges:
        yield hit.line.text[at:start], False
        yield hit.line.text[start:end], True
        at = end
    yield hit.line.text[at:], False
