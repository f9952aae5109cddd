"""A project's settings, variables, deploy key, push hook, and its end."""

from collections.abc import Sequence

from fastapi import Response

from scalemesh.dashboard.forms import Form, Values
from scalemesh.dashboard.services import Services
from scalemesh.dashboard.visit import MemberVisit
from scalemesh.db.tables import Role
from scalemesh.errors import Conflict, InvalidInput, ScaleMeshError, TooLarge
from scalemesh.projects import ProjectChanges, ProjectView

_SETTINGS = (
    "framework",
    "root_directory",
    "install_command",
    "build_command",
    "output_directory",
    "ignore_command",
    "flavour",
    "node_version",
)
_QUEUE_BOXES = ("cancel_running", "skip_unaffected")


class SettingsPages:
    def __init__(self, services: Services) -> None:
        self._projects = services.projects
        self._deployments = services.deployments
        self._url = services.url

    async def form(self, visit: MemberVisit) -> Response:
        return await self._settings(visit)

    async def save(self, visit: MemberVisit) -> Response:
        form = visit.form
        changes = ProjectChanges(
            git_url=form.optional("git_url"),
            production_branch=form.optional("production_branch"),
            settings={**{name: form.optional(name) for name in _SETTINGS}, "reuse": not form["always_build"]},
        )
        try:
            await self._projects.update(visit.actor, visit.part("project"), changes)
        except InvalidInput as error:
            return await self._settings(visit, error, boxes=("always_build",))
        return visit.go(self._at(visit, "settings"), "saved")

    async def save_queue(self, visit: MemberVisit) -> Response:
        form = visit.form
        try:
            changes = ProjectChanges(
                concurrency=_number(form, "concurrency"),
                cancel_running=bool(form["cancel_running"]),
                skip_unaffected=bool(form["skip_unaffected"]),
            )
            await self._projects.update(visit.actor, visit.part("project"), changes)
        except InvalidInput as error:
            return await self._settings(visit, error, boxes=_QUEUE_BOXES)
        return visit.go(self._at(visit, "settings"), "saved")

    async def make_key(self, visit: MemberVisit) -> Response:
        await self._projects.deploy_key(visit.actor, visit.part("project"))
        return visit.go(self._at(visit, "settings"), "key-made")

    async def make_hook(self, visit: MemberVisit) -> Response:
        await self._projects.make_hook(visit.actor, visit.part("project"))
        return visit.go(self._at(visit, "settings"), "hook-made")

    async def remove_hook(self, visit: MemberVisit) -> Response:
        await self._projects.remove_hook(visit.actor, visit.part("project"))
        return visit.go(self._at(visit, "settings"), "hook-removed")

    async def env(self, visit: MemberVisit) -> Response:
        return await self._env(visit)

    async def set_env(self, visit: MemberVisit) -> Response:
        form = visit.form
        try:
            await self._projects.set_env(
                visit.actor,
                visit.part("project"),
                form.text("key"),
                form["value"],
                secret=bool(form["secret"]),
                target=form["target"],
                branch=form.optional("branch"),
            )
        except (InvalidInput, TooLarge) as error:
            return await self._env(visit, error)
        return visit.go(self._at(visit, "env"), "env-saved")

    async def remove_env(self, visit: MemberVisit) -> Response:
        form = visit.form
        await self._projects.remove_env(visit.actor, visit.part("project"), form["key"], form["target"], form["branch"])
        return visit.go(self._at(visit, "env"), "env-removed")

    async def confirm_delete(self, visit: MemberVisit) -> Response:
        return await self._confirm(visit)

    async def delete(self, visit: MemberVisit) -> Response:
        if visit.form.text("confirm") != visit.part("project"):
            error = InvalidInput("That is not the project's name.", field="confirm")
            return await self._confirm(visit, error)
        try:
            await self._deployments.delete_project(visit.actor, visit.part("project"))
        except Conflict as error:
            return await self._confirm(visit, error)
        return visit.go("/", "deleted")

    async def _settings(
        self, visit: MemberVisit, error: ScaleMeshError | None = None, boxes: Sequence[str] = ()
    ) -> Response:
        """With an error, what was typed; `boxes` are the form's checkboxes, which browsers send only when ticked."""
        project = await self._projects.get(visit.actor, visit.part("project"))
        fields = ("git_url", "production_branch", *_SETTINGS)
        stored = {name: getattr(project, name) or "" for name in fields}
        values = Values(stored | {"always_build": "" if project.reuse else "yes"} | _queue(project))
        if error:
            values |= dict.fromkeys(boxes, "") | visit.form.given()
        hook = {"url": f"{self._url}/v1/hooks/{project.id}", "secret": await self._hook_secret(visit, project.id)}
        return visit.page("settings.html", _status(error), project=project, values=values, error=error, hook=hook)

    async def _hook_secret(self, visit: MemberVisit, project_id: str) -> str | None:
        """Not for those who may only read."""
        return None if visit.actor.role == Role.VIEWER else await self._projects.hook(visit.actor, project_id)

    async def _env(self, visit: MemberVisit, error: ScaleMeshError | None = None) -> Response:
        project = await self._projects.get(visit.actor, visit.part("project"))
        variables = await self._projects.list_env(visit.actor, project.id)
        typed = visit.form.given()
        return visit.page("env.html", _status(error), project=project, variables=variables, error=error, values=typed)

    async def _confirm(self, visit: MemberVisit, error: ScaleMeshError | None = None) -> Response:
        project = await self._projects.get(visit.actor, visit.part("project"))
        return visit.page("delete.html", _status(error), project=project, error=error)

    def _at(self, visit: MemberVisit, tab: str) -> str:
        return f"/projects/{visit.part('project')}/{tab}"


def _queue(project: ProjectView) -> dict[str, str]:
    checks = {name: "yes" if getattr(project, name) else "" for name in _QUEUE_BOXES}
    return checks | {"concurrency": "" if project.concurrency is None else str(project.concurrency)}


def _number(form: Form, name: str) -> int | None:
    """None where the field was left empty. Raises InvalidInput."""
    given = form.text(name)
    if given and not given.isdecimal():
        raise InvalidInput(f"{given[:20]!r} is not a number.", field=name)
    return int(given) if given else None


def _status(error: ScaleMeshError | None) -> int:
    return error.status if error else 200
