"""path-to-regexp 6.1.0 (https://github.com/pillarjs/path-to-regexp/tree/v6.1.0), as Vercel compiles its sources with.

Options as there: strict, sensitive, delimiter `/`. What 6.1.0 throws is a BadRule.
"""

from dataclasses import dataclass
from urllib.parse import unquote

from scalemesh.rules.complaints import BadRule

_SEGMENT = "[^/]+?"
_PREFIXES = "./"
_WORD = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")
_SPECIAL = frozenset(".+*?=^!:${}()[]|/\\")


@dataclass(frozen=True)
class Key:
    """A parameter; `pattern` is empty for a group in braces without one. `name` is a number where it has no name."""

    name: str
    prefix: str
    suffix: str
    pattern: str
    modifier: str


Token = str | Key


@dataclass(frozen=True)
class _Lexeme:
    kind: str
    at: int
    value: str = ""


def parse(text: str) -> list[Token]:
    return _Parser(_lex(text)).parse()


def to_regex(tokens: list[Token]) -> str:
    """An unanchored regex for the whole path: the caller matches in full."""
    return "".join(_regex(token) for token in tokens)


def names(tokens: list[Token]) -> list[str]:
    """The parameters in the order of the regex's groups."""
    return [token.name for token in tokens if isinstance(token, Key) and token.pattern]


def escape(text: str) -> str:
    return "".join("\\" + c if c in _SPECIAL and c != "/" else c for c in text)


def _regex(token: Token) -> str:
    if isinstance(token, str):
        return escape(unquote(token))
    prefix, suffix, pattern = escape(token.prefix), escape(token.suffix), token.pattern
    if not pattern:
        return f"(?:{prefix}{suffix}){token.modifier}"
    if not prefix and not suffix:
        return f"({pattern}){token.modifier}"
    if token.modifier in {"+", "*"}:
        optional = "?" if token.modifier == "*" else ""
        return f"(?:{prefix}((?:{pattern})(?:{suffix}{prefix}(?:{pattern}))*){suffix}){optional}"
    return f"(?:{prefix}({pattern}){suffix}){token.modifier}"


def _lex(text: str) -> list[_Lexeme]:
    found: list[_Lexeme] = []
    at = 0
    while at < len(text):
        character = text[at]
        if character == ":":
            end = at + 1
            while end < len(text) and text[end] in _WORD:
                end += 1
            if end == at + 1:
                raise BadRule(f"a parameter's name is missing at character {at + 1} of `{text}`")
            found.append(_Lexeme("name", at, text[at + 1 : end]))
        elif character == "(":
            end = _pattern_end(text, at)
            found.append(_Lexeme("pattern", at, text[at + 1 : end - 1]))
        elif character == "\\":
            end = at + 2
            found.append(_Lexeme("escaped", at, text[at + 1 : end]))
        elif character == ")":
            raise BadRule(f"a parenthesis is closed but never opened in `{text}`")
        else:
            end = at + 1
            kind = "modifier" if character in "*+?" else {"{": "open", "}": "close"}.get(character, "char")
            found.append(_Lexeme(kind, at, character))
        at = end
    return [*found, _Lexeme("end", at)]


def _pattern_end(text: str, start: int) -> int:
    if text[start + 1 : start + 2] == "?":
        raise BadRule(f"a pattern cannot start with `?` in `{text}`")
    depth, at = 1, start + 1
    while at < len(text):
        character = text[at]
        at += 1
        if character == "\\":
            at += 1
        elif character == ")":
            depth -= 1
            if depth == 0:
                break
        elif character == "(":
            depth += 1
            if text[at : at + 1] != "?":
                raise BadRule(f"capturing groups inside a pattern are not allowed in `{text}`")
    if depth:
        raise BadRule(f"a parenthesis is not closed in `{text}`")
    if at == start + 2:
        raise BadRule(f"an empty pattern in `{text}`")
    return at


class _Parser:
    def __init__(self, lexemes: list[_Lexeme]) -> None:
        self._lexemes = lexemes
        self._at = 0
        self._unnamed = 0
        self._path = ""
        self._result: list[Token] = []

    def parse(self) -> list[Token]:
        while self._at < len(self._lexemes):
            char, name, pattern = self._take("char"), self._take("name"), self._take("pattern")
            if name is not None or pattern is not None:
                self._key(char or "", name, pattern)
                continue
            value = char if char is not None else self._take("escaped")
            if value is not None:
                self._path += value
                continue
            self._flush()
            if self._take("open") is not None:
                self._group()
            else:
                self._must("end")
        return self._result

    def _key(self, prefix: str, name: str | None, pattern: str | None) -> None:
        if prefix not in _PREFIXES:
            self._path += prefix
            prefix = ""
        self._flush()
        modifier = self._take("modifier") or ""
        self._result.append(Key(name or self._number(), prefix, "", pattern or _SEGMENT, modifier))

    def _group(self) -> None:
        prefix = self._text()
        name, pattern = self._take("name"), self._take("pattern")
        suffix = self._text()
        self._must("close")
        default = _SEGMENT if name and not pattern else ""
        key = name or (self._number() if pattern else "")
        self._result.append(Key(key, prefix, suffix, pattern or default, self._take("modifier") or ""))

    def _flush(self) -> None:
        if self._path:
            self._result.append(self._path)
            self._path = ""

    def _number(self) -> str:
        self._unnamed += 1
        return str(self._unnamed - 1)

    def _text(self) -> str:
        text = ""
        while (value := self._take("char", "escaped")) is not None:
            text += value
        return text

    def _take(self, *kinds: str) -> str | None:
        if self._at < len(self._lexemes) and self._lexemes[self._at].kind in kinds:
            self._at += 1
            return self._lexemes[self._at - 1].value
        return None

    def _must(self, kind: str) -> None:
        if self._take(kind) is None:
            found = self._lexemes[self._at] if self._at < len(self._lexemes) else self._lexemes[-1]
            raise BadRule(f"unexpected `{found.value}` at character {found.at + 1}, where {kind} was expected")
