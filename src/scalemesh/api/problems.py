"""Every error as a problem document, https://www.rfc-editor.org/rfc/rfc9457, with our `code` and `hint`."""

import http
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketState

from scalemesh.errors import ScaleMeshError, TooManyRequests, Unauthenticated

MEDIA_TYPE = "application/problem+json"
_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "too_large"}
_HINTS = {404: "See /openapi.json for what there is.", 405: "See the Allow header."}

log = structlog.get_logger(__name__)


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`code` is stable and for machines; `detail` says what was wrong, `hint` what to do, `field` where."""

    title: str
    status: int
    detail: str
    code: str
    type: str = "about:blank"
    hint: str | None = None
    field: str | None = None


def problem(
    status: int,
    detail: str,
    code: str,
    *,
    title: str = "",
    hint: str | None = None,
    field: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    title = title or http.HTTPStatus(status).phrase
    document = Problem(title=title, status=status, detail=detail, code=code, hint=hint, field=field)
    return Response(msgspec.json.encode(document), status, headers, MEDIA_TYPE)


def of(error: ScaleMeshError) -> Response:
    headers: dict[str, str] = {}
    if isinstance(error, TooManyRequests):
        headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    # BuildFailed and BadSettings have no status of their own: here they are about what was sent, or about us.
    return problem(
        error.status,
        error.message,
        error.code,
        title=error.title,
        hint=error.hint,
        field=error.field,
        headers=headers,
    )


def install(app: FastAPI) -> None:
    """Answers every error of `app` as a problem, WebSockets that are not open yet included."""
    for kind, answer in (
        (ScaleMeshError, _ours),
        (HTTPException, _routing),
        (RequestValidationError, _parameter),
        (Exception, _unexpected),
    ):
        app.add_exception_handler(kind, _handler(answer))


def _handler(answer: Callable[[HTTPConnection, Any], Response]) -> Any:
    async def handle(connection: HTTPConnection, error: Exception) -> Response | None:
        response = answer(connection, error)
        if not isinstance(connection, WebSocket):
            return response
        if connection.client_state is WebSocketState.CONNECTING:
            await connection.receive()
        if connection.application_state is WebSocketState.CONNECTING:
            await connection.send_denial_response(response)
        elif connection.application_state is WebSocketState.CONNECTED:
            await connection.close(1011)
        return None

    return handle


def _ours(connection: HTTPConnection, error: ScaleMeshError) -> Response:
    if error.status >= 500:
        log.warning("request failed", path=connection.url.path, code=error.code, detail=error.message)
    return of(error)


def _routing(connection: HTTPConnection, error: HTTPException) -> Response:
    """What the router itself raises: no such path, no such method."""
    status = error.status_code
    detail = str(error.detail)
    if status in {404, 405}:
        detail = f"{connection.scope.get('method', 'WebSocket')} {connection.url.path}: {detail.lower()}"
    return problem(status, detail, _CODES.get(status, "http_error"), hint=_HINTS.get(status), headers=error.headers)


def _parameter(_: HTTPConnection, error: RequestValidationError) -> Response:
    """A path or query parameter that does not parse."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:])
    return problem(
        422,
        f"{field}: {first['msg']}",
        "invalid_parameter",
        field=field,
        hint="See /openapi.json for what is expected.",
    )


def _unexpected(_: HTTPConnection, __: Exception) -> Response:
    """Starlette raises it again afterwards, and the guard logs it with its traceback."""
    return problem(500, "Something went wrong on our side.", "internal_error", hint="The server's log says more.")
