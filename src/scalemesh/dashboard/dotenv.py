"""Variables as people paste them: the lines of a .env file."""

import re

from scalemesh.errors import InvalidInput
from scalemesh.projects import parse

_LINE = re.compile(r"\s*(?:export\s+)?([^=\s]+)\s*=(.*)", re.DOTALL)
_ESCAPES = {"\\n": "\n", '\\"': '"', "\\\\": "\\"}


def variables(text: str, field: str = "env") -> dict[str, str]:
    """`KEY=value` by line; blank lines and comments are skipped, quotes around a value removed, the last one wins.

    Raises InvalidInput with the line's number.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise InvalidInput(f"Line {number}: expected NAME=value.", field=field)
        try:
            found[parse.env_key(match[1])] = parse.env_value(_unquoted(match[2].strip()))
        except InvalidInput as error:
            raise InvalidInput(f"Line {number}: {error.message}", field=field) from error
    return found


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] == "'":
        return value[1:-1]
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return re.sub(r"\\[n\"\\]", lambda escape: _ESCAPES[escape[0]], value[1:-1])
    return re.split(r"\s#", value, maxsplit=1)[0].rstrip()
