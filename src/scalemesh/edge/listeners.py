"""The sockets that an edge listens on: on a port one for each worker (SO_REUSEPORT), on a file one for all of them."""

import contextlib
import os
import shutil
import socket
import stat
from pathlib import Path

from scalemesh.errors import BadSettings

BACKLOG = 4096


def listen(host: str, port: int, count: int, *, shared: bool = False) -> list[socket.socket]:
    """`count` listening sockets of one address. A port that somebody else listens on is BadSettings, unless `shared`:
    then it is known to be our own, of workers that a killed keeper left behind."""
    try:
        if not shared:  # SO_REUSEPORT alone would quietly take a share of another edge's connections
            _bound(host, port, reuse_port=False).close()
        listeners = [_bound(host, port, reuse_port=True)]
        port = listeners[0].getsockname()[1]
        listeners += [_bound(host, port, reuse_port=True) for _ in range(1, count)]
    except OSError as error:
        raise BadSettings(
            f"Cannot listen on {host}:{port} for the sites: {error.strerror}",
            code="port_taken",
            hint="Choose another port with --edge-port or SCALEMESH_EDGE_PORT.",
            field="SCALEMESH_EDGE_PORT",
        ) from error
    for listener in listeners:
        listener.listen(BACKLOG)
        listener.setblocking(False)
    return listeners


def _bound(host: str, port: int, *, reuse_port: bool) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, reuse_port)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def listen_at(path: Path, *, mode: int, group: str = "", shared: bool = False) -> socket.socket:
    """A listening unix socket. A file that a dead edge left is replaced in one step, so that nobody finds none;
    anything else there is BadSettings, and stays. `shared` as for `listen`."""
    if _is_taken(path) and not shared:
        raise _refusal(path, "another process listens there")
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(fresh))
        if group:
            shutil.chown(fresh, group=group)
        fresh.chmod(mode)
        listener.listen(BACKLOG)
        fresh.rename(path)
    except (OSError, LookupError) as error:
        listener.close()
        fresh.unlink(missing_ok=True)
        raise _refusal(path, getattr(error, "strerror", None) or str(error)) from error
    listener.setblocking(False)
    return listener


def forget(path: Path) -> None:
    """Remove the file of a socket that nobody listens on any more."""
    with contextlib.suppress(BadSettings):  # somebody else's now
        if not _is_taken(path):
            path.unlink(missing_ok=True)


def _is_taken(path: Path) -> bool:
    """Whether somebody listens there. Raises BadSettings for what is no socket."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise _refusal(path, "there is something else than a socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            probe.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    except BlockingIOError:
        return True  # its queue is full
    except OSError as error:
        raise _refusal(path, error.strerror or str(error)) from error
    return True


def _refusal(path: Path, why: str) -> BadSettings:
    return BadSettings(
        f"Cannot listen on {path} for the sites: {why}.",
        code="socket_taken",
        hint="SCALEMESH_EDGE_SOCKET is to name a socket, or nothing yet, in a folder that we may write to; "
        "SCALEMESH_EDGE_SOCKET_GROUP a group of this machine.",
        field="SCALEMESH_EDGE_SOCKET",
    )
