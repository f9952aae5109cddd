"""`scalemesh projects create | ls | set | rm`."""

from typing import Annotated

import typer

from scalemesh.cli import output, session
from scalemesh.errors import InvalidInput

projects = typer.Typer(help="Create, list, change and remove projects.", no_args_is_help=True)


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


@projects.command("set")
def change(
    project: Annotated[str, typer.Argument(help="Name or id.")],
    concurrency: Annotated[
        str | None, typer.Option(help="Builds at once; 0 is no limit, `default` is what the operator says.")
    ] = None,
    cancel_running: Annotated[
        bool | None, typer.Option(help="Whether a newer push cancels its branch's running previews, too.")
    ] = None,
    skip_unaffected: Annotated[
        bool | None, typer.Option(help="Whether pushes that changed nothing under the root directory are skipped.")
    ] = None,
    flavour: Annotated[
        str | None,
        typer.Option(
            help="Whose redirects, rewrites and headers: vercel, netlify, cloudflare, or `default`: by files."
        ),
    ] = None,
    json: output.Json = False,
) -> None:
    """Change a project's share of the queue, and whose rules it has."""
    given = {"cancel_running": cancel_running, "skip_unaffected": skip_unaffected}
    fields: dict[str, object] = {name: value for name, value in given.items() if value is not None}
    if concurrency is not None:
        fields["concurrency"] = _builds(concurrency)
    if flavour is not None:
        fields["flavour"] = None if flavour == "default" else flavour
    if not fields:
        raise InvalidInput("Nothing to set.", hint="`scalemesh projects set --help` lists what there is.")
    with session.client() as client:
        changed = client.change_project(project, **fields)
    if json:
        output.as_json(changed)
    else:
        output.console.print(f"Changed {changed['name']}.")


def _builds(given: str) -> int | None:
    if given == "default":
        return None
    if not given.isdecimal():
        raise InvalidInput(f"--concurrency: {given!r} is neither a number nor `default`.", field="concurrency")
    return int(given)


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
