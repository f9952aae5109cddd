"""The base of every document that crosses a process border, and how it is written and read.

JSON, UTF-8, fields in declaration order, nulls and defaults left out; reading refuses unknown fields and says where
(`$.files[3].size`) with `InvalidInput`.
"""

from typing import TypeVar

import msgspec

from scalemesh.errors import InvalidInput

T = TypeVar("T")


class Document(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A frozen value; subclass with fields."""


def encode(value: object) -> bytes:
    """A document (or a list of them) as JSON bytes; the same value always gives the same bytes."""
    return msgspec.json.encode(value, order="deterministic")


def decode(kind: type[T], data: bytes | str) -> T:
    """JSON as a document of `kind`; raises InvalidInput that names the place."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"Not a valid {kind.__name__}: {error}", code="invalid_document") from error
