"""`scalemesh up | serve | doctor | gc`: the platform itself on this machine."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from scalemesh.cli import output


class Process(StrEnum):
    API = "api"
    DISPATCHER = "dispatcher"
    PUMP = "pump"
    EDGE = "edge"


DataDir = Annotated[Path | None, typer.Option(help="Where everything is kept.", file_okay=False)]
Host = Annotated[str | None, typer.Option(help="Address to listen on; default 127.0.0.1.")]
ApiPort = Annotated[int | None, typer.Option(help="Port of dashboard and API; default 8000.")]
EdgePort = Annotated[int | None, typer.Option(help="Port of the sites; default 8080.")]


def register(app: typer.Typer) -> None:
    for command in (up, serve, doctor, gc):
        app.command()(command)


def up(
    demo: Annotated[bool, typer.Option("--demo", help="Deploy an example app through the whole path.")] = False,
    data_dir: DataDir = None,
    host: Host = None,
    api_port: ApiPort = None,
    edge_port: EdgePort = None,
) -> None:
    """Start the whole platform on this machine; Ctrl-C stops it."""
    from scalemesh.main.up import up as run

    raise typer.Exit(run(demo=demo, data_dir=data_dir, host=host, api_port=api_port, edge_port=edge_port))


def serve(
    process: Annotated[Process, typer.Argument(help="Which part of the platform.")],
    data_dir: DataDir = None,
    host: Host = None,
    api_port: ApiPort = None,
    edge_port: EdgePort = None,
) -> None:
    """Run one process of the platform, to spread it over machines."""
    from scalemesh.main.serve import serve as run

    run(process.value, data_dir=data_dir, host=host, api_port=api_port, edge_port=edge_port)


def doctor(data_dir: DataDir = None, json: output.Json = False) -> None:
    """Say what isolates and limits builds here, and what is missing.

    Sandbox, limits, toolchains, git, disk, log bus, and how to mend each. Exit code 1 where builds would be refused.
    """
    from scalemesh.main.doctor import examine
    from scalemesh.main.process import configure_log

    configure_log("warning")
    findings = examine(data_dir=data_dir)
    if json:
        output.as_json([{"name": f.name, "ok": f.ok, "detail": f.detail, "fix": f.fix} for f in findings])
    else:
        for finding in findings:
            mark, style = ("✓", "green") if finding.ok else ("✗", "bold red") if finding.required else ("!", "yellow")
            output.console.print(f"[{style}]{mark}[/] {finding.name}: ", end="")
            output.console.print(finding.detail, markup=False)
            if finding.fix:
                output.console.print(f"  → {finding.fix}", markup=False, style="yellow")
    if any(finding.required and not finding.ok for finding in findings):
        raise typer.Exit(1)


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    data_dir: DataDir = None,
    json: output.Json = False,
) -> None:
    """Remove stored files that no deployment needs any more.

    The platform does it once a day by itself.
    """
    from scalemesh.main.gc import collect
    from scalemesh.main.process import configure_log

    configure_log("warning")
    gone = collect(data_dir=data_dir, dry_run=dry_run)
    if json:
        output.as_json({"blobs": gone.blobs, "bytes": gone.bytes, "kept": gone.kept, "dry_run": dry_run})
        return
    did = "Would remove" if dry_run else "Removed"
    output.console.print(f"{did} {gone.blobs} files, {gone.bytes / 1024**2:.1f} MB; {gone.kept} are needed.")
