"""The one middleware around everything that this process answers, the dashboard included.

In: the Host is one of ours, a write does not come from somebody else's page. Out: a request id, security headers, a
line in the access log, a count.
"""

import re
import time
from secrets import token_hex
from urllib.parse import urlsplit

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from scalemesh.api.problems import problem
from scalemesh.api.services import Services

REQUEST_ID = "X-Request-Id"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_PROBES = frozenset({"/healthz", "/readyz"})  # asked by address, not by name; they tell nothing
_MACHINES = ("/v1/builds/", "/v1/edge/")  # many times a minute
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}

log = structlog.get_logger("scalemesh.access")


class Guard:
    """ASGI middleware, outermost: it sees what every other part answers, unexpected errors too."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get(REQUEST_ID, "")
        exchange = _Exchange(scope, send, given if _REQUEST_ID.fullmatch(given) else token_hex(8), self._services)
        with structlog.contextvars.bound_contextvars(request_id=exchange.request_id):
            try:
                refusal = self._refusal(scope, headers)
                if refusal is None:
                    await self._app(scope, receive, exchange.send)
                else:
                    await _refuse(refusal, scope, receive, exchange.send)
            except Exception:
                log.exception("request failed", path=scope["path"])
                if not exchange.status:
                    raise
            finally:
                exchange.done()

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        host = headers.get("host", "")
        if _hostname(host) not in self._services.hosts and scope["path"] not in _PROBES:
            return problem(
                421,
                f"This server does not answer to the name {host!r}.",
                "unknown_host",
                hint="Use its own address, or add the name to SCALEMESH_ALLOWED_HOSTS.",
            )
        if scope["type"] == "http" and scope["method"] in _SAFE:
            return None
        return self._foreign(headers, host)

    def _foreign(self, headers: Headers, host: str) -> Response | None:
        """A write or a WebSocket: no other site may make a browser send one.

        Browsers always send Origin with these. Without one, it is a program, which must not come with a cookie.
        """
        origin = headers.get("origin")
        if origin is None:
            has_session = self._services.session_cookie in cookie_parser(headers.get("cookie", ""))
            foreign = has_session and "authorization" not in headers
        else:
            foreign = not self._services.is_own_origin(origin, host)
        if not foreign:
            return None
        return problem(
            403,
            f"This came from {origin or 'nowhere'}, not from {self._services.url}.",
            "foreign_origin",
            hint=f"Open {self._services.url}, or use an API token.",
        )


class _Exchange:
    """One request and what became of it."""

    def __init__(self, scope: Scope, send: Send, request_id: str, services: Services) -> None:
        self._scope = scope
        self._send = send
        self._services = services
        self._started = time.perf_counter()
        self.request_id = request_id
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] in {"http.response.start", "websocket.http.response.start"}:
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers[REQUEST_ID] = self.request_id
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            if self._services.is_https:
                headers.setdefault("Strict-Transport-Security", "max-age=31536000")
        elif message["type"] == "websocket.accept":
            self.status = 101
        await self._send(message)

    def done(self) -> None:
        seconds = time.perf_counter() - self._started
        method, path = self._scope.get("method", "WEBSOCKET"), self._scope["path"]
        route = getattr(self._scope.get("route"), "path", "other")
        self._services.metrics.observe(method, route, self.status, seconds)
        is_news = self.status >= 400 or (method not in _SAFE and not path.startswith(_MACHINES))
        level = "info" if is_news else "debug"
        peer = (self._scope.get("client") or ("",))[0]
        # The query is left out: it may carry a set-up token.
        getattr(log, level)(
            "request", method=method, path=path, status=self.status, ms=round(seconds * 1000, 1), peer=peer
        )


async def _refuse(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
    await response(scope, receive, send)


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
