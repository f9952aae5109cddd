"""The two ports of the platform, looked at before anything is started."""

import socket

from scalemesh.errors import BadSettings
from scalemesh.settings import Settings

_BACKLOG = 4096


def listen(settings: Settings) -> socket.socket:
    listener = _bind(settings.host, settings.api_port, "SCALEMESH_API_PORT", "--api-port", shared=False)
    listener.listen(_BACKLOG)
    return listener


def check_edge(settings: Settings, *, has_leftovers: bool) -> None:
    """The workers bind it themselves, and share it: our own leftovers do not stand in the way, others do."""
    _bind(settings.host, settings.edge_port, "SCALEMESH_EDGE_PORT", "--edge-port", shared=has_leftovers).close()


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
