"""A log line as plain text: escape sequences gone, hidden characters visible (as the viewer shows them)."""

import re

_ESCAPE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI
    r"|\x1b\].*?(?:\x07|\x1b\\)"  # OSC
    r"|\x1b[@-Z\\^_=>NOc78]"
)
_HIDDEN = re.compile(
    r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)


def text(line: str) -> str:
    return _HIDDEN.sub(lambda found: f"<U+{ord(found[0]):04X}>", _ESCAPE.sub("", line))
