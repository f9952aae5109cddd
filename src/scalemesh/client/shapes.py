"""The JSON that the API answers with, as far as the client looks into it. Times are RFC 3339 UTC."""

from typing import Any, Generic, NotRequired, TypedDict, TypeVar

T = TypeVar("T")


class Page(TypedDict, Generic[T]):
    """One page of a list; `next` is the cursor of the next one, None at the end."""

    items: list[T]
    next: str | None


class Project(TypedDict):
    id: str
    name: str
    git_url: str | None
    production_url: NotRequired[str]
    created_at: str


class Failure(TypedDict):
    code: str
    message: str


class Deployment(TypedDict):
    id: str
    project: str
    state: str
    target: str
    url: str
    aliases: list[str]
    commit: Any
    attempt: int
    reused_from: str | None
    queue: Any
    error: Failure | None
    created_at: str
    ready_at: str | None
    steps: list[dict[str, Any]]


class Line(TypedDict):
    seq: int
    ts: str
    stream: str
    level: str
    step: str
    text: str


class Skipped(TypedDict):
    """Numbers of lines that never come, first and last."""

    first: int
    last: int


class LogPage(TypedDict):
    lines: list[Line]
    next: int
