"""`scalemesh deploy | ls | inspect | logs | cancel | promote | rollback`."""

import contextlib
import re
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from scalemesh.cli import output, session
from scalemesh.client import Client, Deployment, Project
from scalemesh.errors import Forbidden, InvalidInput, NotFound

FAILED = 1
INTERRUPTED = 130
_REMOTE = re.compile(r"[a-z][a-z0-9+.-]*://|[^/@\s]+@[^/:\s]+:")
_ENDED = {"ready", "error", "canceled"}
Identifier = Annotated[str, typer.Argument(metavar="ID", help="A deployment's id: dpl_…")]


def register(app: typer.Typer) -> None:
    for command in (deploy, ls, inspect, logs, cancel, promote, rollback):
        app.command()(command)


def deploy(
    source: Annotated[str | None, typer.Argument(metavar="GIT_URL|DIR", help="Default: this folder.")] = None,
    project: Annotated[
        str | None, typer.Option(help="Name or id; default: named after the repository or folder.")
    ] = None,
    branch: Annotated[
        str | None, typer.Option(help="A repository's branch, tag or commit; default: the production branch.")
    ] = None,
    prod: Annotated[
        bool, typer.Option("--prod", help="To production; a new project's first deployment goes there, too.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Build anew, without cache or reuse.")] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Do not wait for the end.")] = False,
    json: output.Json = False,
) -> None:
    """Deploy a Git repository or a folder, and show its log."""
    with session.client() as client:
        target, is_new, files = _project(client, source, project, branch)
        fields: dict[str, Any] = {"ref": branch, "target": "production" if prod or is_new else "preview"}
        if force:
            fields["force"] = True
        if files is not None:
            fields["source"] = files.send(client, target, quiet=json)
        started = _start(client, target, fields, is_new=is_new)
        if not json:
            output.console.print(f"Deployment {started['id']} of {target['name']} ({started['target']})")
        ended = started if no_wait else _wait(client, started, quiet=json)
    _report(ended, json=json)


class Files:
    """What a folder would upload. Raises InvalidInput where that is nothing."""

    def __init__(self, folder: Path) -> None:
        from scalemesh.client import upload

        self._folder = folder
        self._listing = upload.files(folder)

    def send(self, client: Client, project: Project, *, quiet: bool) -> dict[str, object]:
        """What the API lacks of it. Returns the deployment's `source`."""
        from scalemesh.client import upload

        sent = upload.send(client, project["name"], self._folder, self._listing)
        if not quiet:
            count = len(self._listing)
            output.console.print(f"Uploaded {count:,} file{'' if count == 1 else 's'} ({sent / 1024:,.0f} KB were new)")
        return upload.source(self._listing)


def _project(
    client: Client, source: str | None, name: str | None, branch: str | None
) -> tuple[Project, bool, Files | None]:
    """The project to deploy, whether it was made just now, and the files to upload, if any."""
    if source and _REMOTE.match(source):
        return *_of_repository(client, source, name), None
    if source is None and name:
        found = client.project(name)
        if found["git_url"]:
            return found, False, None
    folder = Path(source or ".").resolve()
    if not folder.is_dir():
        raise InvalidInput(f"{source} is neither a folder nor a Git URL.", hint="Write https://… or a folder's path.")
    if branch is not None:
        raise InvalidInput(
            f"--branch is for repositories: the folder {folder} is uploaded as it is.",
            hint="Leave it out, or deploy the repository's URL.",
        )
    files = Files(folder)  # before a project is made: a folder that cannot be deployed leaves none behind
    wanted = name or _label(folder.name)
    try:
        return client.project(wanted), False, files
    except NotFound:
        return client.create_project(name=wanted), True, files


def _of_repository(client: Client, url: str, name: str | None) -> tuple[Project, bool]:
    if name:
        try:
            return client.project(name), False
        except NotFound:
            return client.create_project(name=name, git_url=url), True
    for found in client.projects():
        if found["git_url"] == url:
            return found, False
    made = client.create_project(name=_label(re.split(r"[/:]", url.rstrip("/"))[-1].removesuffix(".git")), git_url=url)
    return made, True


def _start(client: Client, project: Project, fields: dict[str, Any], *, is_new: bool) -> Deployment:
    """A project that was made for a deployment which is refused goes again."""
    try:
        return client.deploy(project["name"], **fields)
    except (InvalidInput, NotFound, Forbidden):
        if is_new:
            with contextlib.suppress(Forbidden):  # who may not delete projects keeps an empty one
                client.delete_project(project["name"])
        raise


def _label(name: str) -> str:
    """A project name from any name: lower case, digits and single dashes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:50].strip("-") or "site"


def _wait(client: Client, deployment: Deployment, *, quiet: bool) -> Deployment:
    _follow(client, deployment["id"], quiet=quiet)
    return client.deployment(deployment["id"])


def _follow(client: Client, identifier: str, *, after: int = -1, quiet: bool = False, json: bool = False) -> None:
    """Until the end, or Ctrl-C, which leaves the deployment alone."""
    try:
        _show(client, identifier, after=after, quiet=quiet, json=json)
    except KeyboardInterrupt:
        output.stderr.print(f"No longer watching. Go on with: scalemesh logs {identifier} -f", markup=False)
        raise typer.Exit(INTERRUPTED) from None


def _show(client: Client, identifier: str, *, after: int, quiet: bool, json: bool) -> None:
    from scalemesh.client.stream import follow

    for message in follow(client, identifier, after):
        if isinstance(message, str) or quiet:
            continue
        if json:
            output.as_json(message)
        elif "text" in message:
            output.log_line(dict(message))
        else:
            numbers = f"{message['first']} to {message['last']}"
            output.stderr.print(f"Lines {numbers} were never written, or have been deleted.", style="yellow")


def _report(deployment: Deployment, *, json: bool) -> None:
    """The end of a deployment; exit code 1 when it failed."""
    if json:
        output.as_json(deployment)
    else:
        _print_outcome(deployment)
    if deployment["state"] in {"error", "canceled"}:
        raise typer.Exit(FAILED)


def _print_outcome(deployment: Deployment) -> None:
    state, error = deployment["state"], deployment["error"]
    if state == "ready":
        output.console.print("Ready", style="bold green")
        for url in dict.fromkeys([*deployment["aliases"], deployment["url"]]):
            output.console.print(f"  {url}")
    elif error:
        output.stderr.print(
            f"{state}: {output.safe(error['message'], keep_colour=False)}", style="bold red", markup=False
        )
    else:
        output.console.print(f"{state}  scalemesh logs {deployment['id']} -f", markup=False)


def ls(
    project: Annotated[str | None, typer.Option(help="Of one project.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many per project.", min=1)] = 20,
    json: output.Json = False,
) -> None:
    """List deployments, newest first."""
    from itertools import islice

    with session.client() as client:
        names = [project] if project else [found["name"] for found in client.projects()]
        found = [deployment for name in names for deployment in islice(client.deployments(name), limit)]
    found.sort(key=lambda deployment: deployment["created_at"], reverse=True)
    if json:
        output.as_json(found)
        return
    output.table(
        ("ID", "PROJECT", "STATE", "TARGET", "AGE", "URL"),
        (
            (d["id"], d["project"], output.state(d["state"]), d["target"], output.age(d["created_at"]), d["url"])
            for d in found
        ),
        empty="No deployments yet. Make one with: scalemesh deploy GIT_URL",
    )


def inspect(identifier: Identifier, json: output.Json = False) -> None:
    """Show one deployment: state, URLs, commit, steps."""
    with session.client() as client:
        found = client.deployment(identifier)
    if json:
        output.as_json(found)
        return
    commit = found["commit"] or {}
    facts: list[tuple[str, Text | str]] = [
        ("state", output.state(found["state"])),
        ("project", found["project"]),
        ("target", found["target"]),
        ("url", found["url"]),
        *(("alias", alias) for alias in found["aliases"]),
        ("commit", f"{(commit.get('sha') or '–')[:12]} {(commit.get('message') or '').partition(chr(10))[0]}"),
        ("created", f"{found['created_at']} ({output.age(found['created_at'])})"),
        ("attempt", str(found["attempt"])),
    ]
    if found["queue"]:
        facts.append(("queue", output.place(found["queue"])))
    if found["reused_from"]:
        facts.append(("build", f"none: same files, settings and variables as {found['reused_from']}"))
    if found["error"]:
        facts.append(("error", f"{found['error']['code']}: {found['error']['message']}"))
    facts += [(f"step {step['step']}", _step(step)) for step in found["steps"]]
    output.table(("", ""), facts, empty="")


def _step(step: dict[str, Any]) -> str:
    if step.get("duration_ms") is None:
        return "running"
    failed = f", exit code {step['exit_code']}" if step.get("exit_code") else ""
    return output.duration(step["duration_ms"] / 1000) + failed


def logs(
    identifier: Annotated[
        str, typer.Argument(metavar="DEPLOYMENT", help="Its id; or a project, to search all its logs.")
    ],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep showing lines until the end.")] = False,
    after: Annotated[int, typer.Option(help="Only lines numbered above this.")] = -1,
    search: Annotated[str | None, typer.Option(help="Only lines with all these words.")] = None,
    grep: Annotated[str | None, typer.Option(help="Only lines that match this regular expression (RE2).")] = None,
    level: Annotated[str | None, typer.Option(help="Only lines of this level: debug, info, warn, error.")] = None,
    step: Annotated[str | None, typer.Option(help="Only lines of this step, such as build.")] = None,
    context: Annotated[int, typer.Option("--context", "-C", help="So many lines around each hit.", min=0, max=20)] = 0,
    json: output.Json = False,
) -> None:
    """Print a deployment's log, or what is searched for in it."""
    with session.client() as client:
        if any(given is not None for given in (search, grep, level, step)):
            mode, text = ("regex", grep) if grep is not None else ("words", search)
            asked = {"q": text, "mode": mode, "level": level, "step": step, "context": context}
            _search(client, identifier, asked, json=json)
            return
        if follow:
            _follow(client, identifier, after=after, json=json)
            return
        while lines := client.logs(identifier, after)["lines"]:
            for line in lines:
                output.as_json(line) if json else output.log_line(dict(line))
            after = lines[-1]["seq"]


def _search(client: Client, of: str, asked: dict[str, Any], *, json: bool) -> None:
    """Exit code 1 where nothing is found, as grep has it."""
    hits = client.search_logs(of, is_project=not of.startswith("dpl_"), **asked)
    found = False
    for hit in hits:
        output.as_json(hit) if json else output.hit(hit)
        found = True
    if not found:
        raise typer.Exit(FAILED)


def cancel(identifier: Identifier, json: output.Json = False) -> None:
    """Stop a deployment; come back once nothing of it runs any more."""
    with session.client() as client:
        found = client.act(identifier, "cancel")
        deadline = time.monotonic() + 30
        while found["state"] not in _ENDED and time.monotonic() < deadline:
            time.sleep(0.2)
            found = client.deployment(identifier)
    output.as_json(found) if json else output.console.print(f"{identifier} is {found['state']}.")


def promote(identifier: Identifier, json: output.Json = False) -> None:
    """Make a ready deployment production, without a build."""
    with session.client() as client:
        found = client.act(identifier, "promote")
    output.as_json(found) if json else _print_outcome(found)


def rollback(project: Annotated[str, typer.Argument(help="Name or id.")], json: output.Json = False) -> None:
    """Put the previous production deployment back.

    It is pinned: newer ones stay previews until the next promote.
    """
    with session.client() as client:
        found = client.rollback(project)
    output.as_json(found) if json else _print_outcome(found)
