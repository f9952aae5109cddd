"""`scalemesh projects create | ls | rm`."""

from typing import Annotated

import typer

from scalemesh.cli import output, session
from scalemesh.errors import InvalidInput

projects = typer.Typer(help="Create, list and remove projects.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(projects, name="projects")


@projects.command()
def create(
    name: Annotated[str, typer.Argument(help="Lower-case letters, digits and dashes; it becomes part of the URL.")],
    git_url: Annotated[
        str | None, typer.Argument(help="The repository; none for a project deployed from a folder.")
    ] = None,
    root_directory: Annotated[str | None, typer.Option(help="Where in the repository the app is.")] = None,
    production_branch: Annotated[str | None, typer.Option(help="Default: the repository's own default branch.")] = None,
    json: output.Json = False,
) -> None:
    """Create a project."""
    with session.client() as client:
        made = client.create_project(
            name=name, git_url=git_url, root_directory=root_directory, production_branch=production_branch
        )
    if json:
        output.as_json(made)
    else:
        output.console.print(
            f"Created {made['name']}. Deploy it with: scalemesh deploy --project {made['name']} --prod"
        )


@projects.command()
def ls(json: output.Json = False) -> None:
    """List the team's projects."""
    with session.client() as client:
        found = list(client.projects())
    if json:
        output.as_json(found)
        return
    output.table(
        ("NAME", "REPOSITORY", "CREATED"),
        ((project["name"], project["git_url"] or "–", output.age(project["created_at"])) for project in found),
        empty="No projects yet. Make one with: scalemesh deploy GIT_URL",
    )


@projects.command()
def rm(
    project: Annotated[str, typer.Argument(help="Name or id.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove a project with all its deployments and URLs."""
    if not yes:
        try:
            sure = typer.confirm(f"Remove {project} with all its deployments?")
        except typer.Abort as aborted:
            raise InvalidInput(f"Nobody confirmed that {project} may go.", hint="Say --yes.") from aborted
        if not sure:
            return
    with session.client() as client:
        client.delete_project(project)
    output.console.print(f"Removed {project}.")
