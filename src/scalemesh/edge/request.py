"""One parsed request, and the limits on requests."""

from scalemesh.rules.targets import split_absolute

MAX_TARGET_BYTES = 8 * 1024
MAX_HEADER_BYTES = 32 * 1024
MAX_HEADERS = 100
MAX_BODY_BYTES = 64 * 1024  # read and thrown away: nothing here takes a body
MAX_REQUEST_BYTES = 128 * 1024  # whole, framing included, when it does not come in one piece


class Refused(Exception):
    """The request is answered with `status`, and the connection closed. Never seen outside of a connection."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Request:
    """`target` as it came, without its query; `headers` by lower-case name, repeated ones joined by a comma."""

    __slots__ = ("headers", "host", "http10", "keep_alive", "method", "query", "target")

    def __init__(self, method: bytes, target: bytes, headers: dict[bytes, bytes], keep_alive: bool) -> None:  # noqa: FBT001
        self.method = method
        self.target = target
        self.query = b""
        if b"?" in target:
            self.target, _, self.query = target.partition(b"?")
        self.headers = headers
        self.host = headers.get(b"host", b"")
        self.keep_alive = keep_alive
        self.http10 = False

    def check_version(self, version: str) -> None:
        """Needed only where the connection does not stay open by itself: then it is HTTP/1.1 for certain."""
        if version not in {"1.0", "1.1"}:
            raise Refused(505)
        self.http10 = version == "1.0"

    def is_odd(self) -> bool:
        """Whether `check` has anything to look at."""
        headers = self.headers
        return (
            not self.host
            or b"content-length" in headers
            or b"transfer-encoding" in headers
            or not self.target.startswith(b"/")
        )

    def check(self) -> None:
        """RFC 9112 §3.2 (target and Host), §6 (framing), as far as llhttp leaves it to us. Raises Refused."""
        headers = self.headers
        if not self.target.startswith(b"/"):
            self._take_target_form()
        if not self.host and not self.http10:
            raise Refused(400)
        if b"transfer-encoding" in headers:
            if self.http10:
                raise Refused(400)
            if headers[b"transfer-encoding"].lower() != b"chunked":
                raise Refused(501)
        if b"content-length" in headers and int(headers[b"content-length"]) > MAX_BODY_BYTES:
            raise Refused(413)

    def _take_target_form(self) -> None:
        if self.target == b"*" and self.method == b"OPTIONS":
            self.target = b"/"
            return
        absolute = split_absolute(self.target)
        if absolute is None:
            raise Refused(400)
        self.host, self.target = absolute
