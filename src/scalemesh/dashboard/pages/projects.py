"""Projects: the list, and one with its deployments."""

from fastapi import Response

from scalemesh.dashboard.services import Services
from scalemesh.dashboard.visit import MemberVisit
from scalemesh.deployments import NewDeployment
from scalemesh.errors import BuildFailed, Conflict, InvalidInput, ScaleMeshError, Unavailable

_PER_PAGE = 20


class ProjectPages:
    def __init__(self, services: Services) -> None:
        self._projects = services.projects
        self._deployments = services.deployments

    async def all(self, visit: MemberVisit) -> Response:
        page = await self._projects.list(visit.actor, visit.query("cursor") or None, _PER_PAGE)
        return visit.page("projects.html", projects=page.items, next=page.next, first=not visit.query("cursor"))

    async def one(self, visit: MemberVisit) -> Response:
        return await self._show(visit)

    async def deploy(self, visit: MemberVisit) -> Response:
        form = visit.form
        try:
            new = NewDeployment(
                ref=form.optional("ref"), target="preview" if form["target"] == "preview" else "production"
            )
            made = await self._deployments.create(visit.actor, visit.part("project"), new)
        except (InvalidInput, Conflict, Unavailable, BuildFailed) as error:
            return await self._show(visit, error)
        return visit.go(f"/deployments/{made.id}")

    async def rollback(self, visit: MemberVisit) -> Response:
        try:
            await self._deployments.rollback(visit.actor, visit.part("project"))
        except Conflict as error:
            return await self._show(visit, error)
        return visit.go(f"/projects/{visit.part('project')}", "rolled-back")

    async def _show(self, visit: MemberVisit, error: ScaleMeshError | None = None) -> Response:
        project = await self._projects.get(visit.actor, visit.part("project"))
        cursor = visit.query("cursor") or None
        page = await self._deployments.list(visit.actor, project.id, cursor, _PER_PAGE)
        current = project.production_deployment
        live = next((each for each in page.items if each.id == current), None)
        if live is None and current:
            live = await self._deployments.get(visit.actor, current)
        return visit.page(
            "project.html",
            error.status if error else 200,
            project=project,
            deployments=page.items,
            next=page.next,
            first=cursor is None,
            live=live,
            can_roll_back=live is not None and await self._deployments.can_roll_back(visit.actor, project.id),
            error=error,
            typed=visit.form.given(),
        )
