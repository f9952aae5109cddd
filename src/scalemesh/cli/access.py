"""`scalemesh access`: who asked a project's sites for what."""

import re
import time
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated, Any

import typer
from rich.text import Text

from scalemesh.cli import output, session
from scalemesh.client import Client
from scalemesh.errors import InvalidInput

EVERY_S = 1.0
LATE_S = 60  # what an edge tells so much later, `-f` still shows
_STATUS = re.compile(r"[1-5](?:[0-9]{2}|xx)")
_STYLES = {"2": "green", "3": "cyan", "4": "yellow", "5": "bold red"}


def register(app: typer.Typer) -> None:
    app.command()(access)


def access(
    project: Annotated[str, typer.Argument(help="Name or id.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep showing requests as they come.")] = False,
    status: Annotated[str | None, typer.Option(help="Only this status, or this class: 404, 5xx.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many to begin with.", min=1)] = 50,
    json: output.Json = False,
) -> None:
    """Print the latest requests for a project's sites, oldest first.

    Where there are many it is a sample.
    """
    if status and not _STATUS.fullmatch(status):
        raise InvalidInput(
            f"--status: {status!r} is neither a status nor a class of them.", hint="Such as 404, or 5xx."
        )
    with session.client() as client:
        latest = list(islice(client.access(project, status=status, limit=min(limit, 1000)), limit))[::-1]
        for record in latest:
            _show(record, json=json)
        if not latest and not json and not follow:
            output.console.print(Text("No requests yet.", "dim"))
        if follow:
            _follow(client, project, status, latest, json=json, is_all=len(latest) < limit)


def _follow(
    client: Client, project: str, status: str | None, shown: list[dict[str, Any]], *, json: bool, is_all: bool
) -> None:
    """Edges tell some seconds later, and not in order: asks for the last minute, and shows what is new in it."""
    seen = {record["id"]: _seconds(record) for record in shown}
    began = 0 if is_all else min(seen.values())
    while True:
        time.sleep(EVERY_S)
        since = max(began, time.time() - LATE_S)
        at = datetime.fromtimestamp(since, UTC).isoformat()
        fresh = [each for each in client.access(project, status=status, since=at, limit=1000) if each["id"] not in seen]
        for record in reversed(fresh):
            _show(record, json=json)
        seen |= {record["id"]: _seconds(record) for record in fresh}
        seen = {identifier: when for identifier, when in seen.items() if when >= since}


def _seconds(record: dict[str, Any]) -> float:
    return datetime.fromisoformat(record["at"]).timestamp()


def _show(record: dict[str, Any], *, json: bool) -> None:
    if json:
        output.as_json(record)
        return
    status = str(record["status"])
    target = output.safe(f"{record['method']} {record['host']}{record['path']}", keep_colour=False)
    rest = f"  {record['bytes']} B  {record['took_ms']:.1f} ms  {record['cache']}  {record['client']}"
    output.console.print(
        Text.assemble(record["at"], "  ", (status, _STYLES.get(status[0], "")), "  ", target, (rest, "dim"))
    )
