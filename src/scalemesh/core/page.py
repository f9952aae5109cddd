"""One page of a list."""

from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True):
    """`next` is the cursor of the page after this one, None at the end."""

    items: list[T]
    next: str | None = None
