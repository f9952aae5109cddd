"""Versions of toolchains: `22.20.0`, and prefixes of them, which stand for the newest that begins so."""

import re
from collections.abc import Iterable

VERSION = re.compile(r"\d+(?:\.\d+){0,2}")


class NoSuchVersion(Exception):
    """`available`: the versions that there are instead."""

    def __init__(self, available: Iterable[str]) -> None:
        super().__init__()
        self.available = {match[0] for version in available if (match := VERSION.match(version))}

    @property
    def newest(self) -> list[str]:
        """Of each line the newest."""
        lines: dict[str, str] = {}
        for version in sorted(self.available, key=key):
            lines[version.partition(".")[0]] = version
        return list(lines.values())


def fits(version: str, wanted: str) -> bool:
    """Whether `version` is `wanted` or starts with it, component by component."""
    return version == wanted or version.startswith(f"{wanted}.")


def newest(versions: Iterable[str], wanted: str) -> str | None:
    """The newest release that fits."""
    fitting = [version for version in versions if VERSION.fullmatch(version) and fits(version, wanted)]
    return max(fitting, key=key, default=None)


def key(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
