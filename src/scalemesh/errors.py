"""Every error that Scale Mesh raises on purpose.

ScaleMeshError
├── InvalidInput        422  what somebody sent is wrong; `field` (or `file:line`) says where
├── Unauthenticated     401  no valid session or token
├── Forbidden           403  a valid one that may not do this
├── NotFound            404  no such thing, or another team's
├── Conflict            409  a name taken, a state that does not allow it, a fenced write
├── TooLarge            413  over a limit
├── TooManyRequests     429  slow down; `retry_after_s`
├── Unavailable         503  a part that we need does not answer; try again
├── BuildFailed              the deployment failed for a reason that its owner can mend
├── InfrastructureFault      the deployment failed for a reason of ours: it is tried again
└── BadSettings              the operator's settings are wrong: exit code 2

A message says what was wrong; `hint` says what to do next. `code` is stable and for machines.
"""


class ScaleMeshError(Exception):
    """The root. Raise a subclass."""

    status = 500
    title = "Something went wrong"

    def __init__(self, message: str, *, code: str = "", hint: str | None = None, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code()
        self.hint = hint
        self.field = field

    @classmethod
    def default_code(cls) -> str:
        """`NotFound` → `not_found`."""
        return "".join("_" + c.lower() if c.isupper() else c for c in cls.__name__).lstrip("_")


class InvalidInput(ScaleMeshError):
    status = 422
    title = "That input is not valid"


class Unauthenticated(ScaleMeshError):
    status = 401
    title = "Sign in first"


class Forbidden(ScaleMeshError):
    status = 403
    title = "Not allowed"


class NotFound(ScaleMeshError):
    status = 404
    title = "Not found"


class Conflict(ScaleMeshError):
    status = 409
    title = "That does not fit the current state"


class TooLarge(ScaleMeshError):
    status = 413
    title = "Too large"


class TooManyRequests(ScaleMeshError):
    status = 429
    title = "Too many requests"

    def __init__(self, message: str, *, retry_after_s: int, code: str = "", hint: str | None = None) -> None:
        super().__init__(message, code=code, hint=hint)
        self.retry_after_s = retry_after_s


class Unavailable(ScaleMeshError):
    status = 503
    title = "Not available right now"


class BuildFailed(ScaleMeshError):
    title = "The build failed"


class InfrastructureFault(ScaleMeshError):
    title = "The platform failed, not the build"


class BadSettings(ScaleMeshError):
    title = "The settings are wrong"
