"""A new project: address → what was found → one click on Deploy."""

from typing import Any

from fastapi import Response

from scalemesh.accounts import authorize, system_actor
from scalemesh.core.build import BuildSettings, Plan
from scalemesh.dashboard import dotenv, words
from scalemesh.dashboard.forms import Form, Values
from scalemesh.dashboard.services import Services
from scalemesh.dashboard.visit import MemberVisit
from scalemesh.deployments import DeploymentView, NewDeployment
from scalemesh.errors import BuildFailed, Conflict, InvalidInput, ScaleMeshError, TooLarge, Unavailable
from scalemesh.projects import NewProject, ProjectView, parse
from scalemesh.sources import Peek

_DETECTED = ("install_command", "build_command", "output_directory")
_WRONG_INPUT = (InvalidInput, BuildFailed, Conflict, TooLarge, Unavailable)


class NewPages:
    def __init__(self, services: Services) -> None:
        self._projects = services.projects
        self._deployments = services.deployments
        self._sources = services.sources

    async def start(self, visit: MemberVisit) -> Response:
        authorize(visit.actor, "project:write")
        return visit.page("new.html", error=None, values=Values(git_url=visit.query("url")))

    async def peek(self, visit: MemberVisit) -> Response:
        """Looks at the repository and shows what was found, editable. Nothing is kept yet."""
        authorize(visit.actor, "project:write")
        form = visit.form
        try:
            ref = parse.ref(form.text("branch"), "branch") if form.text("branch") else None
            root = parse.directory(form.text("root_directory"), "root_directory")
            found = await self._sources.peek(form.text("git_url"), ref, BuildSettings(root_directory=root))
        except _WRONG_INPUT as error:
            return _start_again(visit, error)
        return visit.page("new-settings.html", error=None, values=_found(form, found))

    async def create(self, visit: MemberVisit) -> Response:
        """Makes the project and its first deployment, or neither."""
        try:
            made = await self._create(visit)
        except _WRONG_INPUT as error:
            return visit.again("new-settings.html", error, values=_typed(visit.form))
        return visit.go(f"/deployments/{made.id}")

    async def create_with_key(self, visit: MemberVisit) -> Response:
        """For a private repository: a project with a deploy key, to be deployed once the key is in place."""
        form = visit.form
        try:
            new = NewProject(name=form.text("name"), git_url=form.text("git_url"))
            project = await self._projects.create(visit.actor, new)
        except _WRONG_INPUT as error:
            return _start_again(visit, error)
        await self._projects.deploy_key(visit.actor, project.id)
        return visit.go(f"/projects/{project.name}/settings", "key-made")

    async def _create(self, visit: MemberVisit) -> DeploymentView:
        variables = dotenv.variables(visit.form["env"])
        project = await self._projects.create(visit.actor, _new_project(visit.form))
        try:
            return await self._first_deployment(visit, project, variables)
        except ScaleMeshError:
            # our own act is taken back, whether or not this person's role may delete projects
            await self._projects.delete(system_actor(visit.actor.team_id, visit.actor.team_slug), project.id)
            raise

    async def _first_deployment(
        self, visit: MemberVisit, project: ProjectView, variables: dict[str, str]
    ) -> DeploymentView:
        for key, value in variables.items():
            await self._projects.set_env(visit.actor, project.id, key, value, secret=True)
        return await self._deployments.create(visit.actor, project.id, NewDeployment(target="production"))


def _start_again(visit: MemberVisit, error: ScaleMeshError) -> Response:
    values = visit.form.given()
    values.setdefault("name", words.project_name(visit.form.text("git_url")))
    status = 422 if isinstance(error, BuildFailed) else error.status
    return visit.page("new.html", status, error=error, values=values)


def _found(form: Form, found: Peek) -> dict[str, str]:
    """The fields of the second page. What was detected travels along, so that only changes become settings."""
    plan = found.plan or Plan(framework_name="Not recognised", output_directory="")
    detected = {name: getattr(plan, name) or "" for name in _DETECTED}
    return {
        "git_url": form.text("git_url"),
        "name": form.text("name") or words.project_name(form.text("git_url")),
        "branch": form.text("branch") or found.ref or "",
        "root_directory": form.text("root_directory"),
        "framework_name": plan.framework_name,
        "commit": found.commit,
        "message": words.first_line(found.message),
        "problem": found.problem or "",
        "env": form["env"],
        **detected,
        **{f"detected_{name}": value for name, value in detected.items()},
    }


def _typed(form: Form) -> dict[str, str]:
    """The second page again, as it was sent."""
    names = ("git_url", "name", "branch", "root_directory", "framework_name", "commit", "message", "problem", "env")
    detected = [f"detected_{name}" for name in _DETECTED]
    return {name: form[name] for name in (*names, *_DETECTED, *detected)}


def _new_project(form: Form) -> NewProject:
    """A field that says what was detected is left to detection, so that it follows the repository later on."""
    own: dict[str, Any] = {
        name: form.text(name) for name in _DETECTED if form.text(name) != form[f"detected_{name}"].strip()
    }
    settings = BuildSettings(root_directory=form.text("root_directory"), **own)
    return NewProject(
        name=form.text("name"),
        git_url=form.text("git_url"),
        production_branch=form.optional("branch"),
        settings=settings,
    )
