"""Where the API is and who we are: SCALEMESH_URL and SCALEMESH_TOKEN, else what `scalemesh login` kept (0600)."""

import json
import os
from pathlib import Path

from scalemesh.client import Client
from scalemesh.errors import Unauthenticated

DEFAULT_URL = "http://localhost:8000"


def path() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "scalemesh" / "login.json"


def kept() -> dict[str, str]:
    try:
        return dict(json.loads(path().read_text()))
    except (FileNotFoundError, ValueError):
        return {}


def keep(url: str, token: str) -> None:
    """Written whole or not at all; nobody else on the machine can read it."""
    path().parent.mkdir(parents=True, exist_ok=True)
    fresh = path().with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump({"url": url, "token": token}, file)
    fresh.replace(path())


def default_url() -> str:
    return os.environ.get("SCALEMESH_URL") or kept().get("url") or DEFAULT_URL


def client() -> Client:
    """Raises Unauthenticated, which says how to sign in, when no token is known."""
    url = default_url()
    token = os.environ.get("SCALEMESH_TOKEN")
    if not token and kept().get("url") == url:
        token = kept().get("token")
    if not token:
        raise Unauthenticated(
            f"Not signed in to {url}.",
            hint="Run `scalemesh login URL` with the dashboard's address, or set SCALEMESH_TOKEN.",
        )
    return Client(url, token)
