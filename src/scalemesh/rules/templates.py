"""Destinations and header values: text with parameters, filled in so that no parameter can leave its place."""

import re
from collections.abc import Mapping
from urllib.parse import quote, unquote

from scalemesh.core.manifest import Template
from scalemesh.rules.complaints import BadRule

PATH_SAFE = "/:@!$&'()*+,;=~"  # RFC 3986 pchar, and the separators between segments
_QUERY_VALUE_SAFE = "/:@!$'()*,~?"  # all that neither ends a parameter's value nor means another character there
_URL_SAFE = PATH_SAFE + "?#[]%"  # what the rule's author wrote is taken as written
_VALUE_SAFE = "".join(map(chr, range(0x20, 0x7F)))
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_ABSOLUTE = re.compile(r"https?://[^/?#]*", re.IGNORECASE)
_LABELS = re.compile(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*")
_AUTHORITY = re.compile(r"[A-Za-z0-9.-]+(?::[0-9]{1,5})?")
_MAX_PORT = 65535
_SLASHES = re.compile(r"^[/\\]{2,}")


def plain(template: Template) -> str:
    """Its text without the parameters."""
    return "".join(template[::2])


def is_absolute(template: Template) -> bool:
    return bool(template and re.match(r"https?:", template[0], re.IGNORECASE))


def check_destination(template: Template) -> None:
    """Raises BadRule where a destination is not `/…`, or where a parameter could choose another site."""
    first = template[0] if template else ""
    if any(ord(c) < 0x20 or ord(c) == 0x7F for c in plain(template)):
        raise BadRule("a destination cannot have control characters")
    if is_absolute(template):
        _check_authority(template)
    elif _SCHEME.match(first):
        raise BadRule(f"the destination `{first}…` is neither a path nor http(s)")
    elif not first.startswith("/") and not (first == "" and len(template) > 1):
        raise BadRule("a destination begins with `/`, `https://` or `http://`")
    elif _SLASHES.match(first):
        raise BadRule("a destination beginning with `//` leaves the site: write `https://`")


def _check_authority(template: Template) -> None:
    """A parameter in the host needs a dot and a name behind it: the domain is the author's, not the visitor's."""
    authority = ""
    for at, text in enumerate(template):
        if at % 2:
            authority += "x"
            continue
        part = text if at else re.sub(r"^https?:(//)?", "", text, flags=re.IGNORECASE)
        end = re.search(r"[/?#\\]", part)
        authority += part[: end.start()] if end else part
        if at and not part.startswith("."):
            raise BadRule("a parameter in the host must be followed by `.` and a domain")
        if end:
            break
    else:
        if len(template) > 1 and not template[-1].lstrip(".").count("."):
            raise BadRule("a parameter in the host must be followed by `.` and a domain")
    if not _AUTHORITY.fullmatch(authority) or int(authority.partition(":")[2] or 0) > _MAX_PORT:
        raise BadRule(f"`{authority}` is not a host")


def location(template: Template, values: Mapping[str, str]) -> str | None:
    """The URL; None if a value does not fit where it stands. Never begins with two slashes."""
    made = ""
    absolute = is_absolute(template)
    for at, text in enumerate(template):
        if at % 2 == 0:
            made += quote(text, safe=_URL_SAFE)
            continue
        value = values.get(text, "")
        if absolute and _ABSOLUTE.fullmatch(made):
            if not _LABELS.fullmatch(value):
                return None
            made += value
        elif "#" in made:
            made += quote(value, safe=PATH_SAFE + "?")  # `/#/docs/:path*` of a router that lives in the fragment
        elif "?" in made:
            made += quote(value, safe=_QUERY_VALUE_SAFE)
        else:
            made += quote(value.lstrip("/") if made.endswith("/") else value, safe=PATH_SAFE)
    return made if absolute else "/" + made.lstrip("/\\")


def file_path(template: Template, values: Mapping[str, str]) -> str:
    """The path of a rewrite, decoded, without query and fragment; dot segments in values stay text and find nothing."""
    made = ""
    for at, text in enumerate(template):
        made += values.get(text, "") if at % 2 else unquote(re.split(r"[?#]", text)[0])
        if at % 2 == 0 and ("?" in text or "#" in text):
            break
    return "/" + made.lstrip("/")


def header_value(template: Template, values: Mapping[str, str]) -> str:
    """A part of the path is written as in an address; other values are encoded where they are not printable ASCII."""
    return "".join(
        quote(values.get(text, ""), safe=PATH_SAFE if text.isdigit() else _VALUE_SAFE) if at % 2 else text
        for at, text in enumerate(template)
    )
