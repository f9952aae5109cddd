"""Templates into answers, with the headers that every page carries."""

from functools import cache
from typing import Any

from fastapi import Response
from jinja2 import Environment, PackageLoader, StrictUndefined

from scalemesh.dashboard import assets
from scalemesh.dashboard.words import FILTERS

HEADERS = {
    # 'self' covers the log's WebSocket: https://www.w3.org/TR/CSP3/#match-url-to-source-expression
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    # not `no-referrer`: with it browsers send `Origin: null` on our own forms, and every write would be refused
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@cache
def templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("scalemesh.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    environment.globals["asset"] = assets.url
    return environment


def html(template: str, http_status: int = 200, **context: Any) -> Response:
    text = templates().get_template(template).render(context)
    return Response(text, http_status, HEADERS, media_type="text/html")


def page_for_error(status: int, title: str, message: str, hint: str | None = None) -> Response:
    """A page of its own for an error, without a session: it needs nothing that may be broken."""
    return html("error.html", status, status=status, title=title, message=message, hint=hint)
