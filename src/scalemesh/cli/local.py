"""`scalemesh detect | preview | explain`: what would happen to a folder, without a platform."""

import enum
import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from scalemesh.cli import output, session
from scalemesh.client import Client
from scalemesh.errors import InvalidInput, NotFound


class Flavour(str, enum.Enum):  # noqa: UP042  typer shows StrEnum's members by name
    vercel = "vercel"
    netlify = "netlify"
    cloudflare = "cloudflare"


class Target(str, enum.Enum):  # noqa: UP042  typer shows StrEnum's members by name
    production = "production"
    preview = "preview"


_HEADER = re.compile(r"\s*[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\U0010ffff]*")  # RFC 9110 §5
FlavourOption = Annotated[
    Flavour | None, typer.Option(help="Whose rules; default: decided by the files that are present.")
]


def _folder(path: Path) -> Path:
    if path.is_dir():
        return path
    why = "is a file, not a folder" if path.exists() else "is not there"
    raise InvalidInput(f"{path} {why}.", hint="Name the folder that holds the files.")


Folder = Annotated[Path, typer.Argument(callback=_folder, help="A folder.")]


def register(app: typer.Typer) -> None:
    app.command()(detect)
    app.command()(preview)
    app.command()(explain)


def detect(
    directory: Folder,
    root_directory: Annotated[str, typer.Option(help="Where in it the app is.")] = "",
    target: Annotated[Target, typer.Option(help="As for which deployment: netlify.toml's contexts differ.")] = (
        Target.production
    ),
    branch: Annotated[str, typer.Option(help="As for a deployment of this branch.")] = "",
    json: output.Json = False,
) -> None:
    """Print how a folder would be built, and what says so."""
    from scalemesh.frameworks import FrameworkRefused
    from scalemesh.main.detect import plan

    try:
        found = plan(directory, root_directory, target=target.value, branch=branch)
    except FrameworkRefused as error:
        if json:
            facts = {"code": error.code, "message": error.message, "hint": error.hint}
            output.as_json({"framework": error.framework, "error": facts})
        raise
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
    flavour: FlavourOption = None,
) -> None:
    """Serve a folder exactly as it would be deployed; Ctrl-C stops it."""
    from scalemesh.main.preview import preview as run

    def ready(address: str) -> None:
        output.console.print(f"Serving {directory} at {address}  (Ctrl-C stops)", markup=False)

    run(directory, port, ready, None if flavour is None else flavour.value)


def explain(
    site: Annotated[str, typer.Argument(metavar="DIR|URL", help="A folder, or the URL or id of a deployment.")],
    path: Annotated[str, typer.Argument(help="As in a request: /blog/post?page=2")],
    method: Annotated[str, typer.Option(help="The request's method.")] = "GET",
    header: Annotated[
        list[str] | None, typer.Option(help="A header of the request, 'Name: value'; repeatable.")
    ] = None,
    flavour: FlavourOption = None,
    json: output.Json = False,
) -> None:
    """Say what would be answered to a request, and which rule says so."""
    headers = dict(map(_header, header or []))
    if not _is_deployment(site):
        from scalemesh.main.explain import explain as run

        answer, complaints = run(_folder(Path(site)), path, method, headers, None if flavour is None else flavour.value)
    else:
        if flavour is not None:
            raise InvalidInput("--flavour is for folders: a deployment's was chosen when it was built.")
        answer, complaints = _of_deployment(site, path, method, headers), []
    for complaint in complaints:
        output.stderr.print(output.safe(complaint, keep_colour=False), markup=False)
    if json:
        output.as_json(answer)
        return
    rows = [
        (name, str(answer[name])) for name in ("status", "file", "location", "proxy_to") if answer[name] is not None
    ]
    rows += [(f"header {name}", value) for name, value in answer["headers"].items()]
    rows += [("matched", f"{each['source']}:{each['line']}") for each in answer["matched"]]
    output.table(("", "ANSWER"), rows, empty="")


def _is_deployment(site: str) -> bool:
    return not Path(site).is_dir() and ("://" in site or site.startswith("dpl_"))


def _header(text: str) -> tuple[str, str]:
    name, _, value = text.partition(":")
    if not _HEADER.fullmatch(text):
        raise InvalidInput(f"{text!r} is not a header.", hint="Write 'Name: value'.")
    return name.strip().lower(), value.strip()


def _of_deployment(site: str, path: str, method: str, headers: dict[str, str]) -> dict[str, Any]:
    headers = {"host": urlsplit(site).netloc} | headers
    with session.client() as client:
        return client.explain(_identifier(client, site), path, method, headers)


def _identifier(client: Client, site: str) -> str:
    """Of the deployment at a URL, its own or one that it serves now."""
    if "://" not in site:
        return site
    host = urlsplit(site).netloc.lower()
    for project in client.projects():
        for found in client.deployments(project["name"]):
            if host in {urlsplit(url or "").netloc for url in (found["url"], *found["aliases"])}:
                return found["id"]
    raise NotFound(f"No deployment is served at {site}.", hint="See `scalemesh ls`.")
