"""The two ports of the platform, looked at before anything is started."""

import socket

from scalemesh.edge.places import left_behind
from scalemesh.errors import BadSettings
from scalemesh.settings import Settings

_BACKLOG = 4096


def listen(settings: Settings) -> socket.socket:
    listener = _bind(settings.host, settings.api_port, "SCALEMESH_API_PORT", "--api-port", shared=False)
    listener.listen(_BACKLOG)
    return listener


def check_edge(settings: Settings) -> None:
    """The edge binds it itself, and shares it with workers that a killed one left: those are not in its way."""
    folder = settings.data_dir / "edge"
    shared = folder.is_dir() and left_behind(folder)
    _bind(settings.host, settings.edge_port, "SCALEMESH_EDGE_PORT", "--edge-port", shared=shared).close()


def _bind(host: str, port: int, variable: str, option: str, *, shared: bool) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise BadSettings(
            f"Cannot listen on {host}:{port}: {error.strerror}.", hint=f"Set {variable} (or {option}) to a free port."
        ) from error
    return bound
