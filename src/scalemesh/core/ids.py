"""Identifiers: sortable ones for rows, random ones for host names, secrets with a prefix.

An id is `<prefix>_` + 26 characters of Crockford base32 (48 bits of milliseconds, 80 random bits; a lower-case ULID,
https://github.com/ulid/spec), so ids of one prefix sort by creation time and serve as pagination cursors.
"""

import hashlib
import re
import secrets
import time

from scalemesh.errors import InvalidInput

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
HOST_ID_LENGTH = 12  # 60 random bits


def new_id(prefix: str, now_ms: int | None = None) -> str:
    """A new row id, such as `dpl_01jd…`. Prefixes: usr team prj dpl att tok edg env prm."""
    stamp = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    return f"{prefix}_{_base32((stamp << 80) | secrets.randbits(80), 26)}"


def check_cursor(prefix: str, cursor: str) -> str:
    """The id that a page ended with. Raises InvalidInput for what cannot be one of this prefix."""
    if not re.fullmatch(rf"{prefix}_[{ALPHABET}]{{26}}", cursor):
        raise InvalidInput("That is not a cursor of this list.", code="invalid_cursor", field="cursor")
    return cursor


def new_host_id() -> str:
    """The random part of an immutable host; never derived from the row's id."""
    return _base32(secrets.randbits(HOST_ID_LENGTH * 5), HOST_ID_LENGTH)


def new_secret(prefix: str) -> str:
    """A bearer secret with 256 random bits, such as `smp_…` (API token), `smb_…` (build), `sme_…` (edge)."""
    return f"{prefix}_{secrets.token_urlsafe(32)}"


def secret_hash(secret: str) -> str:
    """What is stored of a bearer secret: SHA-256, hexadecimal. 256 random bits need no slow hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _base32(value: int, length: int) -> str:
    return "".join(ALPHABET[(value >> (5 * i)) & 31] for i in reversed(range(length)))
