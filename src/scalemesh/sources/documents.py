"""What travels between the platform and its git worker, as JSON."""

from typing import Literal

from scalemesh.core.build import BuildSettings, Credentials, Limits, Plan
from scalemesh.core.documents import Document


class Ask(Document, frozen=True):
    """One question. `url` has been checked; the worker parses it again with the same rules."""

    url: str
    transports: list[str]
    allow_private: bool
    directory: str
    sandbox: Literal["bubblewrap", "none"]
    limits: Limits
    deadline_s: float
    ref: str | None = None
    settings: BuildSettings | None = None
    credentials: Credentials = Credentials()
    egress_allow: list[str] = []


class Resolved(Document, frozen=True):
    """`ref` is the branch or tag asked for (the default branch when none was), None for a commit."""

    commit: str
    ref: str | None


class Peek(Document, frozen=True):
    """A repository at one commit: what is there, and how it would be built, or `problem`: why it cannot be."""

    commit: str
    ref: str | None
    message: str
    author: str
    files: list[str]
    plan: Plan | None
    problem: str | None = None


class Refusal(Document, frozen=True):
    code: str
    message: str
    hint: str | None = None
    field: str | None = None


class Answer(Document, frozen=True):
    resolved: Resolved | None = None
    peek: Peek | None = None
    refusal: Refusal | None = None
