"""Bodies in, answers out: msgspec documents, read strictly, written whole.

`Annotated[NewToken, body(NewToken)]` reads one; a route of DocumentRoute returns one (or a Response of its own).
"""

import functools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

import msgspec
from fastapi import APIRouter, Depends
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from scalemesh.errors import InvalidInput, TooLarge, Unavailable

MAX_BODY_BYTES = 1024**2
T = TypeVar("T")


class Body(Generic[T]):
    """A dependency that reads the request's body as a document of `kind`."""

    def __init__(self, kind: type[T], max_bytes: int) -> None:
        self.kind = kind
        self.max_bytes = max_bytes

    async def __call__(self, request: Request) -> T:
        content = bytearray()
        async for chunk in chunks(request, self.max_bytes):
            content += chunk
        return _decode(self.kind, bytes(content))


def body(kind: type[Any], max_bytes: int = MAX_BODY_BYTES) -> Any:
    return Depends(Body(kind, max_bytes))


async def chunks(request: Request, max_bytes: int) -> AsyncIterator[bytes]:
    """The body as it comes. Raises TooLarge, before it is read where its length is known."""
    announced = request.headers.get("content-length", "")
    size = int(announced) if announced.isdigit() else 0
    if size > max_bytes:
        raise _too_large(max_bytes)
    read = 0
    try:
        async for chunk in request.stream():
            read += len(chunk)
            if read > max_bytes:
                raise _too_large(max_bytes)
            yield chunk
    except ClientDisconnect as error:
        raise Unavailable("The connection broke off inside the body.", code="disconnected") from error


class DocumentRoute(APIRoute):
    """A route whose endpoint returns a document; None is answered with 204."""

    def __init__(self, path: str, endpoint: Callable[..., Awaitable[Any]], **options: Any) -> None:
        options["response_model"] = None
        status = options.get("status_code") or 200
        super().__init__(path, _answering(endpoint, status), **options)


class DirectRoute(DocumentRoute):
    """For what is asked a thousand times a second: its endpoint takes the Request, and takes it apart itself.

    Its dependencies are there for /openapi.json alone: to run them costs more than everything else.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        return self.endpoint


def v1(route_class: type[APIRoute] = DocumentRoute) -> APIRouter:
    """For routes under /v1."""
    return APIRouter(prefix="/v1", route_class=route_class)


def _answering(endpoint: Callable[..., Awaitable[Any]], status: int) -> Callable[..., Awaitable[Response]]:
    @functools.wraps(endpoint)
    async def answer(*args: Any, **values: Any) -> Response:
        result = await endpoint(*args, **values)
        if isinstance(result, Response):
            return result
        if result is None:
            return Response(status_code=204)
        return Response(msgspec.json.encode(result), status, media_type="application/json")

    return answer


def _decode(kind: type[T], content: bytes) -> T:
    try:
        return msgspec.json.decode(content, type=kind)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$")
        field = place.rstrip("`").lstrip(".") or _unknown_field(message)
        raise InvalidInput(
            f"{field}: {message}" if field else message,
            code="invalid_body",
            field=field,
            hint="See /openapi.json for what is expected.",
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedJson(
            f"The body is not valid JSON: {error}", code="malformed_json", hint=_hint(content)
        ) from error


class MalformedJson(InvalidInput):
    status = 400
    title = "That is not JSON"


def _unknown_field(message: str) -> str | None:
    return message.rpartition("unknown field `")[2].rstrip("`") if "unknown field" in message else None


def _hint(content: bytes) -> str:
    """Where the JSON breaks: the standard library says line and column."""
    try:
        json.loads(content)
    except json.JSONDecodeError as error:
        return f"Look at line {error.lineno}, column {error.colno}."
    except (ValueError, RecursionError):
        pass  # not text, or too deep: what msgspec said is all that can be said
    return "Send one JSON object in UTF-8."


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"The body is over {max_bytes:,} bytes.", code="body_too_large")
