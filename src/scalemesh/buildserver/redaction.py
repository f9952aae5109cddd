"""Secrets taken out of output before it leaves the build server, also in their usual encodings and across chunks."""

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

MIN_BYTES = 4  # a shorter value would blank out ordinary words, and guessing it needs no log
MASK = b"[redacted]"
_ESCAPE = re.compile("%[0-9A-F]{2}")
_WRAP = 76  # columns of `base64` and MIME


class Redactor:
    """Knows the secrets of one build. One `Stream` per output stream; `text` for a single message."""

    def __init__(self, secrets: Iterable[str]) -> None:
        patterns = {form for secret in secrets for form in _forms(secret)}
        ordered = sorted(patterns, key=len, reverse=True)
        self._regex = re.compile(b"|".join(map(re.escape, ordered))) if ordered else None
        self._longest = len(ordered[0]) if ordered else 0
        self._by_first: dict[int, list[bytes]] = {}
        for pattern in ordered:
            self._by_first.setdefault(pattern[0], []).append(pattern)

    def text(self, text: str) -> str:
        """`text` without secrets, and without what is no text: half a character of a file's name."""
        return self.mask(text.encode(errors="replace")).decode(errors="replace")

    def mask(self, data: bytes) -> bytes:
        return self._regex.sub(MASK, data) if self._regex else data

    def split(self, data: bytes) -> tuple[bytes, bytes]:
        """What can be shown of `data`, redacted, and the rest: perhaps the beginning of a secret that goes on."""
        held_from = self._first_open(data)
        shown, at = [], 0
        for match in self._regex.finditer(data) if self._regex else ():
            if match.start() >= held_from:
                break
            shown += [data[at : match.start()], MASK]
            at = match.end()
        held_from = max(held_from, at)
        return b"".join([*shown, data[at:held_from]]), data[held_from:]

    def _first_open(self, data: bytes) -> int:
        for start in range(max(0, len(data) - self._longest + 1), len(data)):
            if known := self._by_first.get(data[start]):
                tail = data[start:]
                if any(p.startswith(tail) and p != tail for p in known):
                    return start
        return len(data)


class Stream:
    """Chunks in, redacted chunks out; holds back only what may be the beginning of a secret."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        shown, self._held = self._redactor.split(self._held + chunk)
        return shown

    def finish(self) -> bytes:
        held, self._held = self._held, b""
        return self._redactor.mask(held)


def _forms(secret: str) -> Iterator[bytes]:
    """What to look for: the value, each line of it, and both in URL, JSON, HTML, hexadecimal and base64 encoding."""
    for value in {secret, secret.strip(), *secret.splitlines()}:
        if len(value.encode()) < MIN_BYTES:
            continue
        yield value.encode()
        for encoded in (quote(value, safe=""), quote(value), quote_plus(value)):
            yield encoded.encode()
            yield _ESCAPE.sub(lambda escape: escape[0].lower(), encoded).encode()
        for encoded in (
            json.dumps(value)[1:-1],
            html.escape(value),
            value.encode().hex(),
            value.encode().hex().upper(),
        ):
            yield encoded.encode()
        yield json.dumps(value, ensure_ascii=False)[1:-1].encode()
        yield from _base64_forms(value.encode())


def _base64_forms(value: bytes) -> Iterator[bytes]:
    """The characters that `value` determines wherever it stands in the encoded bytes, so `user:secret` is found too."""
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + value)
        inner = encoded[-(-offset * 8 // 6) : (offset + len(value)) * 8 // 6]
        pieces = [inner[i : i + _WRAP] for i in range(0, len(inner), _WRAP)] if offset == 0 else []
        for piece in (inner, *pieces):
            if len(piece) >= MIN_BYTES + 2:
                yield piece
                yield piece.replace(b"+", b"-").replace(b"/", b"_")
