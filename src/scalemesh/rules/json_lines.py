"""JSON that knows the lines of the items in its top-level lists, so that a complaint can name one."""

import json
from typing import Any

from scalemesh.rules.complaints import BadRule

_SPACE = " \t\n\r"
_DECODER = json.JSONDecoder()


class Lined:
    """`values` is the document; `line(key, n)` where item `n` of a list begins, `line(key)` where the key stands."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.values: dict[str, Any] = {}
        self._places: dict[tuple[str, int | None], int] = {}

    def line(self, key: str, index: int | None = None) -> int:
        place = self._places.get((key, index), self._places.get((key, None), 0))
        return self._text.count("\n", 0, place) + 1

    def place_items(self) -> None:
        """Raises BadRule for what is not a JSON object; `line` in its message is JSON's own."""
        try:
            loaded = json.loads(self._text)
            if not isinstance(loaded, dict):
                raise BadRule("not a JSON object")
            json.dumps(loaded, ensure_ascii=False).encode()  # raises for half a character
            self.values = loaded
            self._walk()
        except (ValueError, RecursionError) as error:
            raise BadRule(f"not valid JSON: {error}") from None

    def _walk(self) -> None:
        at = self._skip(self._text.index("{") + 1)
        while self._text[at] != "}":
            key, end = _DECODER.raw_decode(self._text, at)
            self._places[key, None] = at
            at = self._skip(self._skip(end) + 1)
            at = self._items(key, at) if self._text[at] == "[" else _DECODER.raw_decode(self._text, at)[1]
            at = self._skip(at)
            if self._text[at] == ",":
                at = self._skip(at + 1)

    def _items(self, key: str, at: int) -> int:
        at = self._skip(at + 1)
        index = 0
        while self._text[at] != "]":
            self._places[key, index] = at
            at = self._skip(_DECODER.raw_decode(self._text, at)[1])
            index += 1
            if self._text[at] == ",":
                at = self._skip(at + 1)
        return at + 1

    def _skip(self, at: int) -> int:
        while self._text[at] in _SPACE:
            at += 1
        return at
