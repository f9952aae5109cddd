"""The address of a repository, checked once, before any git sees it. Pure: names are resolved by the egress guard."""

import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Self
from urllib.parse import SplitResult, unquote, urlsplit

from scalemesh.errors import InvalidInput

DEFAULT_PORTS = {"https": 443, "http": 80, "ssh": 22, "git": 9418, "file": 0}
MAX_LENGTH = 2048
_SCP = re.compile(r"(?:(?P<user>[^@:/]*)@)?(?P<host>[^@:/\[\]]+):(?P<path>[^:].*)")
_HOST = re.compile(r"[a-z0-9_][a-z0-9_-]{0,62}(\.[a-z0-9_][a-z0-9_-]{0,62})*")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_HELPER = re.compile(r"(\w+)::")  # `ext::command` and its kind run programs
_BRACKETS = re.compile(r"^\w+://([^/@]*@)?\[[0-9A-Fa-f:.]+\]")
_FORBIDDEN = frozenset("\\\"'`<>|;$(){}^*")
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*")


@dataclass(frozen=True)
class GitUrl:
    """`text` is what git is given, never with a secret in it; it connects to `host` and `port` ("" and 0 for file)."""

    text: str
    transport: str
    host: str
    port: int
    path: str
    user: str = ""

    @classmethod
    def parse(cls, url: str, transports: Collection[str] = ("https", "ssh"), *, allow_private: bool = False) -> Self:
        """Raises InvalidInput: invalid_git_url, credentials_in_url, forbidden_transport or address_forbidden.

        `git@host:owner/repo` is ssh. `allow_private` admits private and loopback addresses, and http for them.
        """
        text = url.strip()
        _check_characters(text)
        parsed = cls._scp(text, match) if (match := _scp_like(text)) else cls._url(text)
        _check_transport(parsed.transport, {*transports, "http"} if allow_private else {*transports})
        _check_path(parsed.path)
        if parsed.transport != "file":
            _check_host(parsed.host, allow_private=allow_private)
        return parsed

    @property
    def name(self) -> str:
        """The repository's own name: `site` of `https://host/owner/site.git`."""
        return unquote(self.path.rstrip("/").rsplit("/", 1)[-1]).removesuffix(".git")

    @property
    def over_https(self) -> str:
        """Where an ssh repository's host has it for everybody."""
        return f"https://{self.host}/{self.path.lstrip('/')}" if self.transport == "ssh" else self.text

    @property
    def origin(self) -> str:
        """`https://host` or `https://host:8443`: what credentials belong to."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.transport}://{host}" + ("" if self.port == DEFAULT_PORTS[self.transport] else f":{self.port}")

    @classmethod
    def _scp(cls, text: str, match: re.Match[str]) -> Self:
        user = match["user"] or ""
        _check_user(user)
        return cls(text, "ssh", match["host"].lower(), 22, match["path"], user)

    @classmethod
    def _url(cls, text: str) -> Self:
        scheme, separator, _ = text.partition("://")
        if not separator:
            raise _invalid("That is not the address of a repository.")
        _check_transport(scheme.lower(), DEFAULT_PORTS)
        parts, host, port = _split(text)
        transport = parts.scheme
        if transport == "file":
            _require(not parts.netloc, "A file:// address has three slashes: file:///path.")
            return cls(f"file://{parts.path}", transport, "", 0, parts.path)
        _check_userinfo(parts)
        _require(bool(host), "The address names no host.")
        user = parts.username or ""
        address = cls("", transport, host, port or DEFAULT_PORTS[transport], parts.path, user)
        prefix = f"{transport}://{user}@" if user else f"{transport}://"
        return cls(**{**address.__dict__, "text": prefix + address.origin.partition("://")[2] + parts.path})


def _split(text: str) -> tuple[SplitResult, str, int | None]:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _invalid(f"That is not the address of a repository: {error}.") from error
    _require(not parts.query and not parts.fragment and text[-1] not in "?#", "Leave out what follows `?` or `#`.")
    _require(port != 0, "The port must be 1 to 65535.")
    return parts, host, port


def _scp_like(text: str) -> re.Match[str] | None:
    """As git reads it: a colon before any slash, and no `://`."""
    return None if "://" in text else _SCP.fullmatch(text)


def _check_characters(text: str) -> None:
    _require(0 < len(text) <= MAX_LENGTH, f"The address of a repository has 1 to {MAX_LENGTH} characters.")
    _require(not text.startswith("-"), "The address of a repository cannot start with `-`.")
    _require(
        all(0x20 < ord(c) < 0x7F and c not in _FORBIDDEN for c in text),
        "The address has characters that do not belong into one; write them percent-encoded.",
    )
    if helper := _HELPER.match(text):
        raise _forbidden(helper[1])
    _require("::" not in _BRACKETS.sub("://", text, count=1), "The address has `::` in it.")


def _check_transport(transport: str, allowed: Collection[str]) -> None:
    if transport not in allowed:
        raise _forbidden(transport, allowed)


def _check_userinfo(parts: SplitResult) -> None:
    if parts.password is not None or (parts.username is not None and parts.scheme != "ssh"):
        raise InvalidInput(
            "The address has a user name or password in it.",
            code="credentials_in_url",
            hint="Leave it out of the address, and set the repository's credentials in the project.",
            field="git_url",
        )
    _check_user(parts.username or "")


def _check_user(user: str) -> None:
    _require(not user or bool(_USER.fullmatch(user)), f"{user!r} is not a user name.")


def _check_path(path: str) -> None:
    parts = unquote(path).strip("/").split("/")
    _require(bool(parts[0]), "The address names a host but no repository.")
    _require(not any(part.startswith("-") for part in parts), "No part of the address may start with `-`.")
    _require(".." not in parts, "The address may not have `..` in it.")
    _require(all(ord(c) >= 0x20 and ord(c) != 0x7F for c in unquote(path)), "The address has control characters in it.")


def _check_host(host: str, *, allow_private: bool) -> None:
    address = _literal(host)
    if address is None:
        _require(bool(_HOST.fullmatch(host.removesuffix("."))) and len(host) < 254, f"{host!r} is not a host name.")
        _require(not _NUMBER.fullmatch(host.rstrip(".").rsplit(".", 1)[-1]), f"{host!r} is not an address.")
    is_local = host.rstrip(".") == "localhost" or host.rstrip(".").endswith(".localhost")
    if not allow_private and (is_local or (address is not None and not address.is_global)):
        raise InvalidInput(
            f"{host} is not a public address.",
            code="address_forbidden",
            hint="The operator can allow repositories at private addresses: SCALEMESH_GIT_ALLOW_PRIVATE=1.",
            field="git_url",
        )


def _literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _require(condition: bool, message: str) -> None:  # noqa: FBT001 — a condition is what it takes
    if not condition:
        raise _invalid(message)


# The messages below do not repeat the address: somebody's password may be in it.
def _invalid(message: str) -> InvalidInput:
    return InvalidInput(
        message,
        code="invalid_git_url",
        hint="For example https://github.com/owner/repository or git@github.com:owner/repository.git.",
        field="git_url",
    )


def _forbidden(transport: str, allowed: Collection[str] = DEFAULT_PORTS) -> InvalidInput:
    return InvalidInput(
        f"Repositories over {transport!r} are not allowed here; allowed: {', '.join(sorted(allowed))}.",
        code="forbidden_transport",
        hint="Use the repository's https or ssh address, or ask the operator (SCALEMESH_GIT_TRANSPORTS).",
        field="git_url",
    )
