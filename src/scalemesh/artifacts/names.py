"""Where a blob lies in a store: below its team, by its hash."""

import re

from scalemesh.errors import InvalidInput

_SHA256 = re.compile(r"[0-9a-f]{64}")
_TEAM = re.compile(r"[A-Za-z0-9_-]{1,64}")


def blob_path(team: str, sha256: str) -> str:
    """Raises InvalidInput for what cannot be a blob's name."""
    if not _SHA256.fullmatch(sha256):
        raise InvalidInput("A blob is named by 64 lower-case hexadecimal digits", code="invalid_blob_name")
    return f"{team_prefix(team)}/{sha256[:2]}/{sha256}"


def team_prefix(team: str) -> str:
    if not _TEAM.fullmatch(team):
        raise InvalidInput("Not a team's id", code="invalid_blob_name")
    return f"blobs/{team}"
