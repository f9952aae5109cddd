"""`scalemesh detect | preview`: what would happen to a folder, without a platform."""

from pathlib import Path
from typing import Annotated

import typer

from scalemesh.cli import output

Folder = Annotated[Path, typer.Argument(exists=True, file_okay=False, help="A folder.")]


def register(app: typer.Typer) -> None:
    app.command()(detect)
    app.command()(preview)


def detect(
    directory: Folder,
    root_directory: Annotated[str, typer.Option(help="Where in it the app is.")] = "",
    json: output.Json = False,
) -> None:
    """Print how a folder would be built, and where each value comes from."""
    from scalemesh.main.detect import plan

    found = plan(directory, root_directory)
    if json:
        output.as_json(found)
        return
    sources = found.pop("sources")
    output.table(
        ("SETTING", "VALUE", "FROM"),
        (
            (name.replace("_", " "), "–" if value is None else str(value), sources.get(name, "–"))
            for name, value in found.items()
        ),
        empty="",
    )


def preview(
    directory: Folder,
    port: Annotated[int, typer.Option(help="Port to serve it at.", min=1, max=65535)] = 4173,
) -> None:
    """Serve a folder exactly as it would be deployed; Ctrl-C stops it."""
    from scalemesh.main.preview import preview as run

    output.console.print(f"Serving {directory} at http://localhost:{port}  (Ctrl-C stops)", markup=False)
    run(directory, port)
