"""`scalemesh login`: a token for this machine."""

import os
import socket
from typing import Annotated

import typer
from rich.text import Text

from scalemesh.cli import output, session
from scalemesh.client import Client
from scalemesh.errors import InvalidInput


def register(app: typer.Typer) -> None:
    app.command()(login)


def login(
    url: Annotated[str | None, typer.Argument(help="The dashboard's address.")] = None,
    email: Annotated[str | None, typer.Option(help="Sign in with this address; the password is asked for.")] = None,
    token: Annotated[
        str | None, typer.Option(help="An API token made in the dashboard; `-` reads it from stdin.")
    ] = None,
    team: Annotated[str | None, typer.Option(help="The team to work in, where you sign in by password.")] = None,
) -> None:
    """Sign in: keep an API token for this machine.

    It lies in your configuration folder, readable by you alone, and is for one team.
    """
    address = (url or session.default_url()).rstrip("/")
    if not address.startswith(("http://", "https://")):
        raise InvalidInput(f"{address!r} is not the address of a dashboard.", hint="Write http://… or https://….")
    from_stdin = token == "-"  # noqa: S105  it names standard input
    if from_stdin:
        token = typer.get_text_stream("stdin").readline().strip()
    token = token or os.environ.get("SCALEMESH_TOKEN") or _by_password(address, email, team)
    with Client(address, token) as client:
        me = client.me()
    session.keep(address, token)
    output.console.print(f"Signed in to {address} as {me['user']['email']}, team {me['team']['slug']}.")
    others = [each["slug"] for each in me["teams"] if each["id"] != me["team"]["id"]]
    if others:
        output.console.print(
            Text(f"Other teams of yours: {', '.join(others)} (scalemesh login {address} --team SLUG)", "dim")
        )


def _by_password(url: str, email: str | None, team: str | None) -> str:
    email = email or typer.prompt("Email")
    password = os.environ.get("SCALEMESH_PASSWORD") or typer.prompt("Password", hide_input=True)
    with Client(url, None) as client:
        client.call("POST", "/auth/login", json={"email": email, "password": password})
        headers = {"Origin": url} | ({"X-Scalemesh-Team": team} if team else {})
        made = client.call("POST", "/tokens", json={"name": f"CLI on {socket.gethostname()}"}, headers=headers)
        client.call("POST", "/auth/logout", headers={"Origin": url})
    return str(made["token"])
