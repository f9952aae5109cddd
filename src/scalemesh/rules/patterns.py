"""RE2, the only engine that sees request data: linear in the text, bounded in memory. Loaded where patterns are."""

from typing import Any

from scalemesh.rules.complaints import BadRule

MAX_PATTERN_CHARS = 16 * 1024
_PATTERN_BYTES = 512 * 1024
SET_BYTES = 12 * 1024 * 1024  # grows only as far as a site's requests need it


def options(max_bytes: int = _PATTERN_BYTES) -> Any:
    import re2

    made = re2.Options()
    made.log_errors = False
    made.max_mem = max_bytes
    return made


def compiled(pattern: str) -> Any:
    """Raises BadRule in the words of RE2."""
    import re2

    if len(pattern) > MAX_PATTERN_CHARS:
        raise BadRule(f"a pattern is longer than {MAX_PATTERN_CHARS} characters")
    try:
        return re2.compile(pattern, options())
    except re2.error as error:
        why = error.args[0].decode(errors="replace") if error.args and isinstance(error.args[0], bytes) else str(error)
        raise BadRule(f"the pattern `{pattern}` cannot be used: {why}") from None
    except UnicodeEncodeError:
        raise BadRule("a pattern is not valid Unicode") from None


def folded(pattern: str, *, ignore_case: bool) -> str:
    return f"(?i:{pattern})" if ignore_case else pattern
