"""What a push says: GitHub's payload, as far as a deployment needs it, and whether it is to be built. Pure.

https://docs.github.com/webhooks/webhook-events-and-payloads#push
"""

import re
from urllib.parse import parse_qs

import msgspec

from scalemesh.errors import InvalidInput

_MAX_MESSAGE = 10_000
_MAX_AUTHOR = 200
_MAX_COMMITS = 2048  # GitHub lists no more
_MAX_FILES = 3000
_OF_WORKSPACE = frozenset(
    (
        "package.json",
        "package-lock.json",
        "pnpm-lock.yaml",
        "pnpm-workspace.yaml",
        "yarn.lock",
        "bun.lock",
        "bun.lockb",
        "deno.lock",
    )
)
_BRANCH = "refs/heads/"
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
# GitHub's, GitLab's and Bitbucket's, Netlify's and Cloudflare's markers: anywhere in the message, in any case.
_SKIP = re.compile(
    r"\[(?:ci[ -]skip|skip[ -](?:ci|cd|actions|deploy|netlify|vercel)|no[ -]ci|actions[ -]skip"
    r"|netlify[ -]skip|vercel[ -]skip|(?:cf-pages|scalemesh)-skip|skip[ -]scalemesh)\]",
    re.IGNORECASE,
)


class _Author(msgspec.Struct, frozen=True):
    name: str = ""


class _Commit(msgspec.Struct, frozen=True):
    id: str
    tree_id: str | None = None
    message: str = ""
    author: _Author = _Author()
    added: list[str] = []
    modified: list[str] = []
    removed: list[str] = []


class _Repository(msgspec.Struct, frozen=True):
    default_branch: str | None = None


class _Payload(msgspec.Struct, frozen=True):
    ref: str
    after: str
    created: bool = False
    forced: bool = False
    deleted: bool = False
    commits: list[_Commit] = []
    head_commit: _Commit | None = None
    repository: _Repository = _Repository()


class Push(msgspec.Struct, frozen=True):
    """A branch's new head. `default_branch` is the repository's; `changed` None: the push does not say."""

    branch: str
    commit: str
    tree: str | None
    message: str
    author: str
    default_branch: str | None
    changed: frozenset[str] | None = None

    def is_outside(self, root_directory: str) -> bool:
        """Whether it surely changed nothing there, nor what a workspace's packages have in common above it."""
        if not root_directory or not self.changed:
            return False
        parts = root_directory.split("/")
        shared = {"/".join([*parts[:n], name]) for n in range(len(parts)) for name in _OF_WORKSPACE}
        return not any(path.startswith(f"{root_directory}/") or path in shared for path in self.changed)

    @property
    def is_skipped(self) -> bool:
        """Whether the author asked for no build."""
        return _SKIP.search(self.message) is not None


def parse(body: bytes, content_type: str = "application/json") -> Push | str:
    """The push, or why it is none of ours: `tag`, `branch_deleted`. Raises InvalidInput."""
    payload = _decode(_json(body, content_type))
    if not payload.ref.startswith(_BRANCH):
        return "tag"
    if payload.deleted or not payload.after.strip("0"):
        return "branch_deleted"
    if not _COMMIT.fullmatch(payload.after):
        raise InvalidInput("`after` is not a commit.", code="invalid_payload", field="after")
    head = payload.head_commit
    return Push(
        branch=payload.ref.removeprefix(_BRANCH),
        commit=payload.after,
        tree=head.tree_id if head and _COMMIT.fullmatch(head.tree_id or "") else None,
        message=_text(head.message, _MAX_MESSAGE) if head else "",
        author=_text(head.author.name, _MAX_AUTHOR) if head else "",
        default_branch=payload.repository.default_branch,
        changed=_changed(payload),
    )


def _changed(payload: _Payload) -> frozenset[str] | None:
    """A new or rewritten branch differs from what was there in more than its commits say; long lists are cut."""
    commits = payload.commits
    lists = [part for commit in commits for part in (commit.added, commit.modified, commit.removed)]
    if payload.created or payload.forced or not commits or len(commits) >= _MAX_COMMITS:
        return None
    if any(len(part) >= _MAX_FILES for part in lists):
        return None
    return frozenset(path for part in lists for path in part)


def _text(given: str, limit: int) -> str:
    """PostgreSQL keeps no NUL."""
    return given[:limit].replace("\0", "")


def _json(body: bytes, content_type: str) -> bytes:
    """GitHub sends either JSON, or a form with the JSON in it, as the hook is set up."""
    if not content_type.startswith("application/x-www-form-urlencoded"):
        return body
    try:
        return parse_qs(body, strict_parsing=True, max_num_fields=10)[b"payload"][0]
    except (ValueError, KeyError) as error:
        raise InvalidInput("The form has no `payload`.", code="invalid_payload") from error


def _decode(content: bytes) -> _Payload:
    try:
        return msgspec.json.decode(content, type=_Payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"That is not a push: {error}", code="invalid_payload") from error
