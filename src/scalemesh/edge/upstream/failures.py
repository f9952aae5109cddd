"""What a client is told where an upstream gives no answer. Why exactly is for the log: it may name addresses."""

import httpcore

from scalemesh.edge.responses import Response, own_page
from scalemesh.egress.guard import EgressDenied
from scalemesh.errors import Unavailable


class Refusal(Exception):
    """Answered with `page`; never seen outside of an exchange."""

    def __init__(self, page: Response) -> None:
        super().__init__(page.status)
        self.page = page


BUSY = own_page(503, "Too many requests of this site are under way.", extra=(("Retry-After", "1"),))
LOOP = own_page(508, "This address leads back to itself.")
TOO_LARGE = own_page(413, "The request's body is too large.")
CLIENT_STALLED = own_page(408, "The request took too long.")
BODY_AND_UPGRADE = own_page(400, "A request for an upgrade has no body.")
TOO_LARGE_ANSWER = own_page(502, "The upstream's answer is too large.")
BAD_ANSWER = own_page(502, "The upstream did not give a valid answer.")
_DENIED = own_page(502, "The upstream's address may not be used.")
_UNREACHABLE = own_page(502, "The upstream cannot be reached.")
_TIMEOUT = own_page(504, "The upstream did not answer in time.")

_PAGES: tuple[tuple[type[Exception], Response], ...] = (
    (EgressDenied, _DENIED),
    (Unavailable, _UNREACHABLE),
    (TimeoutError, _TIMEOUT),
    (httpcore.TimeoutException, _TIMEOUT),
    (httpcore.NetworkError, _UNREACHABLE),
    (httpcore.ProtocolError, BAD_ANSWER),
)
EXPECTED: tuple[type[Exception], ...] = (Refusal, *(kind for kind, _ in _PAGES))


def page(error: Exception) -> Response:
    """Of an error that is one of EXPECTED."""
    if isinstance(error, Refusal):
        return error.page
    return next(shown for kind, shown in _PAGES if isinstance(error, kind))
