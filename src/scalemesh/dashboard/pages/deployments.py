"""One deployment: its state, steps and log, and what can be done with it."""

from collections.abc import AsyncIterator, Sequence

from fastapi import Response
from fastapi.responses import StreamingResponse

from scalemesh.core.clock import rfc3339
from scalemesh.dashboard import access
from scalemesh.dashboard.progress import progress
from scalemesh.dashboard.services import Services
from scalemesh.dashboard.visit import MemberVisit
from scalemesh.deployments import DeploymentView
from scalemesh.errors import Conflict, InvalidInput, ScaleMeshError
from scalemesh.logs import plain

_LINES_PER_READ = 1000


class DeploymentPages:
    def __init__(self, services: Services) -> None:
        self._deployments = services.deployments
        self._projects = services.projects
        self._logs = services.logs

    async def one(self, visit: MemberVisit) -> Response:
        return await self._show(visit)

    async def cancel(self, visit: MemberVisit) -> Response:
        identifier = visit.part("deployment")
        try:
            await self._deployments.cancel(visit.actor, identifier)
        except Conflict as error:
            return await self._show(visit, error)
        return visit.go(f"/deployments/{identifier}", "canceled")

    async def promote(self, visit: MemberVisit) -> Response:
        identifier = visit.part("deployment")
        try:
            await self._deployments.promote(visit.actor, identifier)
        except Conflict as error:
            return await self._show(visit, error)
        back = visit.form["next"] or f"/deployments/{identifier}"
        return visit.go(access.local_path(back), "promoted")

    async def redeploy(self, visit: MemberVisit) -> Response:
        try:
            made = await self._deployments.redeploy(visit.actor, visit.part("deployment"))
        except (Conflict, InvalidInput) as error:
            return await self._show(visit, error)
        return visit.go(f"/deployments/{made.id}")

    async def log_text(self, visit: MemberVisit) -> Response:
        """The whole log as plain text, one line per line, without colours."""
        deployment = await self._deployments.get(visit.actor, visit.part("deployment"))
        name = f'inline; filename="{deployment.id}.log"'
        headers = {"Content-Disposition": name, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"}
        return StreamingResponse(self._text(deployment.id), headers=headers, media_type="text/plain; charset=utf-8")

    async def _text(self, deployment: str) -> AsyncIterator[str]:
        after = -1
        while lines := await self._logs.read(deployment, after, _LINES_PER_READ):
            yield "".join(f"{rfc3339(line.ts)} {plain.text(line.text)}\n" for line in lines)
            after = lines[-1].seq

    async def _show(self, visit: MemberVisit, error: ScaleMeshError | None = None) -> Response:
        deployment = await self._deployments.get(visit.actor, visit.part("deployment"))
        project = await self._projects.get(visit.actor, deployment.project)
        return visit.page(
            "deployment.html",
            error.status if error else 200,
            deployment=deployment,
            project=project,
            steps=progress(deployment.state, deployment.steps),
            complaints=await self._complaints(visit, deployment),
            error=error,
        )

    async def _complaints(self, visit: MemberVisit, deployment: DeploymentView) -> Sequence[str]:
        """What is wrong with the rule files of a site that is served."""
        if deployment.state != "ready":
            return []
        return (await self._deployments.contents.rules(visit.actor, deployment.id)).complaints
