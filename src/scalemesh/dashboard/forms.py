"""Forms as browsers send them without JavaScript: `application/x-www-form-urlencoded`."""

from collections.abc import Iterator
from urllib.parse import parse_qsl

from fastapi import Request

from scalemesh.errors import InvalidInput, TooLarge

MAX_BYTES = 256 * 1024
_MAX_FIELDS = 100


class Values(dict[str, str]):
    """What a form shows: a field without a value is empty."""

    def __missing__(self, name: str) -> str:
        return ""


class Form:
    """Text by name; a missing field is the empty string. Line ends are `\\n`."""

    def __init__(self, values: dict[str, str]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> str:
        return self._values.get(name, "")

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def text(self, name: str) -> str:
        return self[name].strip()

    def optional(self, name: str) -> str | None:
        """The text, or None where the field was left empty."""
        return self.text(name) or None

    def given(self) -> Values:
        """Everything as it was typed, to show the form again."""
        return Values(self._values)


async def read(request: Request) -> Form:
    """Raises TooLarge or InvalidInput."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise TooLarge(f"A form has {MAX_BYTES // 1024} KiB at most.")
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
    except ValueError as error:
        raise InvalidInput("That form cannot be read.", hint="Go back, reload the page and try again.") from error
    return Form({name: value.replace("\r\n", "\n") for name, value in pairs})
