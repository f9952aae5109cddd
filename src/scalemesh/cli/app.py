"""The commands, put together, and what an error becomes: one line on stderr and an exit code."""

import signal
import sys
from typing import Annotated

import typer

import scalemesh
from scalemesh.cli import access, account, deployments, env, local, output, projects, server
from scalemesh.errors import (
    BadSettings,
    BuildFailed,
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    ScaleMeshError,
    TooLarge,
)

BAD_INPUT = 2
NOT_ALLOWED = 3
_EXIT_CODES: tuple[tuple[type[ScaleMeshError], int], ...] = (
    (Forbidden, NOT_ALLOWED),
    (InvalidInput, BAD_INPUT),
    (NotFound, BAD_INPUT),
    (Conflict, BAD_INPUT),
    (TooLarge, BAD_INPUT),
    (BadSettings, BAD_INPUT),
    (BuildFailed, BAD_INPUT),
)

app = typer.Typer(
    name="scalemesh",
    help="Give it a Git repository, get a URL.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for module in (server, account, projects, deployments, access, env, local):
    module.register(app)


@app.callback(invoke_without_command=True)
def options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        print(scalemesh.__version__)
        raise typer.Exit


def main() -> None:
    """The console script."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        app()
    except ScaleMeshError as error:
        output.error(error)
        sys.exit(exit_code(error))
    except KeyboardInterrupt:
        sys.exit(130)


def exit_code(error: ScaleMeshError) -> int:
    """2 for what the caller can correct, 3 for everything that lies with the other side."""
    return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), NOT_ALLOWED)
