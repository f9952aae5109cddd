"""One parsed request, and the limits on requests."""

import msgspec

from scalemesh.edge.upstream.incoming import Incoming
from scalemesh.rules.targets import parse_host, split_absolute

MAX_TARGET_BYTES = 8 * 1024
MAX_HEADER_BYTES = 32 * 1024
MAX_HEADERS = 100
MAX_BODY_BYTES = 64 * 1024  # read and thrown away, where no upstream takes it
MAX_REQUEST_BYTES = 128 * 1024  # whole, framing included, when it does not come in one piece


class Refused(Exception):
    """The request is answered with `status`, and the connection closed. Never seen outside of a connection."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Request(msgspec.Struct, gc=False):
    """`target` as it came, without its query; `headers` by lower-case name, repeated ones joined by a comma.
    `upgrade`: another protocol is asked for. `body` is there only if another site is to have it. `began`, in ns of
    access.clock_ns, and `project`, once its site is known, are for the access records. `client` and `scheme` are what a
    trusted proxy says; "" is the connection's peer. `plain`: a GET of HTTP/1.1, without a body, on a connection
    that stays.

    A msgspec.Struct for its speed: one is made for every request.
    """

    method: bytes
    target: bytes
    query: bytes
    headers: dict[bytes, bytes]
    host: bytes
    keep_alive: bool
    plain: bool = False
    http10: bool = False
    upgrade: bool = False
    body: Incoming | None = None
    began: int = 0
    project: str = ""
    client: str = ""
    scheme: bytes = b"http"

    @property
    def is_websocket(self) -> bool:
        return self.upgrade and self.method == b"GET" and self.headers.get(b"upgrade", b"").lower() == b"websocket"

    def check_version(self, version: str) -> None:
        """Needed only where the connection does not stay open by itself: then it is HTTP/1.1 for certain."""
        if version not in {"1.0", "1.1"}:
            raise Refused(505)
        if version == "1.0":
            self.http10, self.plain = True, False

    def check_target(self) -> None:
        """RFC 9112 §3.2: the asterisk and absolute forms, and a Host field in HTTP/1.1."""
        if self.target == b"*" and self.method == b"OPTIONS":
            self.target = b"/"
        elif not self.target.startswith(b"/"):
            absolute = split_absolute(self.target)
            if absolute is None or (self.host and parse_host(self.host) is None):
                raise Refused(400)
            self.host, self.target = absolute
        if b"host" not in self.headers and not self.http10:
            raise Refused(400)

    def check_coding(self) -> None:
        """RFC 9112 §6.1 and §6.3: of a body with a Transfer-Encoding."""
        if self.http10:
            raise Refused(400)
        codings = [coding.strip() for coding in self.headers[b"transfer-encoding"].lower().split(b",")]
        if codings[-1] != b"chunked":
            raise Refused(400)  # its length cannot be known
        if len(codings) > 1:
            raise Refused(501)
