"""The live log of one deployment, without a gap or a repeat across reconnects."""

import json
import time
from collections.abc import Iterator
from typing import Any, cast

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from scalemesh.client.http import Client
from scalemesh.client.shapes import Line, Skipped
from scalemesh.errors import Forbidden, NotFound, Unauthenticated, Unavailable

GIVE_UP_AFTER_S = 60.0  # without one message from the API
_IDLE_S = 45.0  # heartbeats come more often


def follow(client: Client, deployment: str, after: int = -1) -> Iterator[Line | Skipped | str]:
    """Lines numbered above `after` as they come, and what never comes; last the final state (a `str`).

    Raises Unavailable when cut off.
    """
    heard, pause_s = time.monotonic(), 0.1
    while True:
        try:
            with _connect(client, deployment, after) as socket:
                for message in _messages(socket):
                    heard, pause_s = time.monotonic(), 0.1
                    if message.get("type") == "line":
                        line = cast("Line", message)
                        after = line["seq"]
                        yield line
                    elif message.get("type") == "skipped":
                        after = message["last"]
                        yield cast("Skipped", message)
                    elif message.get("type") == "end":
                        yield str(message["state"])
                        return
        except InvalidStatus as error:
            _refused(error, deployment)
        except (ConnectionClosed, WebSocketException, OSError):
            pass  # the connection broke: the next one resumes after the last number seen
        if time.monotonic() - heard > GIVE_UP_AFTER_S:
            raise Unavailable(f"Lost the log of {deployment}: {client.url} does not answer", code="unreachable")
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, 2.0)


def _connect(client: Client, deployment: str, after: int) -> ClientConnection:
    base = client.url.replace("http", "ws", 1)
    headers = {"Authorization": f"Bearer {client.token}"} if client.token else {}
    uri = f"{base}/v1/deployments/{deployment}/logs/stream?after={after}"
    return connect(uri, additional_headers=headers, origin=cast("Any", client.url), open_timeout=10, max_size=2**20)


def _messages(socket: ClientConnection) -> Iterator[dict[str, Any]]:
    while True:
        try:
            yield json.loads(socket.recv(timeout=_IDLE_S))
        except TimeoutError:
            return


def _refused(error: InvalidStatus, deployment: str) -> None:
    status = error.response.status_code
    if status == 404:
        raise NotFound(f"No deployment {deployment}") from error
    if status == 401:
        raise Unauthenticated("The API does not know this token", hint="Run `scalemesh login`.") from error
    if status == 403:
        raise Forbidden(f"Not allowed to read the log of {deployment}") from error
