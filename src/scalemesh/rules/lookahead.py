"""`(?!X)` at the start of a segment, which RE2 has not, as two patterns: one must match, the other must not.

`/((?!api/).*)` becomes `/(.*)` and not `/(api/).*`. That is the same only where the place of the lookahead is fixed by
what stands before it: plain text and whole segments. Everything else is a BadRule.
"""

import re

from scalemesh.rules.complaints import BadRule

_OPENER = re.compile(r"\((?:\?:|\?P?<\w+>)?$")
# What may stand before: characters, escapes of punctuation, one-segment classes, and the beginnings and ends of groups.
_FIXED = re.compile(
    r"(?:[\w/~!@%&=:;,<>'\" -]|\\[^\w\s]|\[\^\\?/(?:#\\?\?)?\][+]\??|\((?:\?:|\?P?<\w+>)?|\)(?![*+?{]))*"
)
_OPTIONAL_SEGMENT = "(?:/("  # as path-to-regexp writes `/:name(…)?`: left out, slash and all, it hides nothing
_MAX = 16


def split(regex: str) -> tuple[str, list[str]]:
    """The pattern without its negative lookaheads, and those that must not match. `regex` is unanchored."""
    unless: list[str] = []
    while (start := regex.find("(?!")) >= 0:
        if len(unless) >= _MAX:
            raise BadRule(f"more than {_MAX} lookaheads")
        end = _closing(regex, start)
        before, inner, after = regex[:start], regex[start + 3 : end], regex[end + 1 :]
        _check(before, inner, after)
        unless.append(f"{before}(?:{inner}).*" + ")" * _open_groups(before))
        regex = before + after
    if "(?=" in regex or "(?<=" in regex or "(?<!" in regex:
        raise BadRule("only negative lookaheads `(?!…)` at the start of a segment are supported")
    return regex, unless


def _check(before: str, inner: str, after: str) -> None:
    bare = before
    while (opener := _OPENER.search(bare)) is not None:
        bare = bare[: opener.start()]
    if not bare.endswith("/") or not _FIXED.fullmatch(before):
        raise BadRule("`(?!…)` is supported only at the start of a segment, behind plain text and `:name` segments")
    if "(?!" in inner:
        raise BadRule("a lookahead inside a lookahead is not supported")
    whole = before.endswith(_OPTIONAL_SEGMENT) and after.endswith("))?")
    if after.startswith(("*", "+", "?", "{")) or _branches(after[:-1] if whole else after):
        raise BadRule("`(?!…)` before a `|` or in a repeated group is not supported")


def _closing(regex: str, start: int) -> int:
    depth, at = 0, start
    while at < len(regex):
        if regex[at] == "\\":
            at += 1
        elif regex[at] == "[":
            at = _class_end(regex, at)
        elif regex[at] == "(":
            depth += 1
        elif regex[at] == ")":
            depth -= 1
            if depth == 0:
                return at
        at += 1
    raise BadRule("a parenthesis is not closed")


def _class_end(regex: str, at: int) -> int:
    at += 1 + (regex[at + 1 : at + 2] == "^")
    at += regex[at : at + 1] == "]"
    while at < len(regex) and regex[at] != "]":
        at += 1 + (regex[at] == "\\")
    return at


def _open_groups(text: str) -> int:
    depth, at = 0, 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == "[":
            at = _class_end(text, at)
        else:
            depth += (text[at] == "(") - (text[at] == ")")
        at += 1
    return depth


def _branches(after: str) -> bool:
    """Whether an alternative or a repetition in `after` belongs to a group that the lookahead stands in."""
    depth, at = 0, 0
    while at < len(after):
        character = after[at]
        if character == "\\":
            at += 1
        elif character == "[":
            at = _class_end(after, at)
        elif character == "(":
            depth += 1
        elif character == ")":
            depth -= 1
            if depth < 0:
                depth = 0
                if after[at + 1 : at + 2] in {"*", "+", "?", "{"}:
                    return True
        elif character == "|" and depth == 0:
            return True
        at += 1
    return False
