"""`scalemesh env ls | add | rm`: a project's environment variables."""

import sys
from enum import Enum
from typing import Annotated

import typer

from scalemesh.cli import output, session
from scalemesh.errors import InvalidInput

env = typer.Typer(help="List, set and remove a project's environment variables.", no_args_is_help=True)


class Target(str, Enum):  # noqa: UP042  typer shows StrEnum's members by name
    production = "production"
    preview = "preview"
    all = "all"


TargetOption = Annotated[Target, typer.Option(help="Of which deployments.")]
Project = Annotated[str, typer.Argument(help="Name or id.")]
Key = Annotated[str, typer.Argument(help="The variable's name.")]
Branch = Annotated[str | None, typer.Option(help="Of one branch only.")]


def register(app: typer.Typer) -> None:
    app.add_typer(env, name="env")


@env.command()
def ls(project: Project, json: output.Json = False) -> None:
    """List the variables; secret ones without their value."""
    with session.client() as client:
        found = client.env(project)
    if json:
        output.as_json(found)
        return
    output.table(
        ("KEY", "VALUE", "TARGET", "BRANCH"),
        (
            (
                var["key"],
                "•••••" if var["secret"] else str(var.get("value", "")),
                var["target"],
                var.get("branch") or "–",
            )
            for var in found
        ),
        empty=f"No variables. Add one with: scalemesh env add {project} KEY VALUE",
    )


@env.command()
def add(
    project: Project,
    key: Key,
    value: Annotated[str | None, typer.Argument(help="Left out: read from stdin, whole.")] = None,
    secret: Annotated[bool, typer.Option("--secret", help="Never shown again, masked in logs.")] = False,
    target: TargetOption = Target.all,
    branch: Branch = None,
) -> None:
    """Set a variable; it counts from the next deployment on."""
    if value is None:
        if sys.stdin.isatty():
            value = typer.prompt(key, hide_input=secret)
        else:
            try:
                value = sys.stdin.buffer.read().decode()
            except UnicodeDecodeError as error:
                raise InvalidInput(f"The value of {key} is not UTF-8 text: {error}") from error
    with session.client() as client:
        client.set_env(project, key, str(value), secret=secret, target=target.value, branch=branch)
    output.console.print(f"Set {key} for {project}. It counts from the next deployment on.")


@env.command()
def rm(project: Project, key: Key, target: TargetOption = Target.all, branch: Branch = None) -> None:
    """Remove a variable."""
    with session.client() as client:
        client.remove_env(project, key, target=target.value, branch=branch)
    output.console.print(f"Removed {key} from {project}.")
