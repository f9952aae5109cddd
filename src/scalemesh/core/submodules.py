"""What .gitmodules says, as data. Pure; the addresses have yet to be checked (git_url)."""

import posixpath
from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True)
class Submodule:
    """`path` is normalised and lies in the repository; `url` is as somebody wrote it."""

    path: str
    url: str
    commit: str = ""

    def at(self, commit: str) -> Self:
        return replace(self, commit=commit)


def parse(listed: str) -> list[Submodule]:
    """`git config -z --get-regexp` over .gitmodules: those that are complete, in their order.

    Without those that git leaves alone (`update = none`) and whose path leaves the repository.
    """
    found: dict[str, dict[str, str]] = {}
    for entry in listed.split("\0"):
        key, _, value = entry.partition("\n")
        name, _, variable = key.removeprefix("submodule.").rpartition(".")
        found.setdefault(name, {})[variable] = value
    complete = (facts for facts in found.values() if facts.get("update") != "none")
    return [
        Submodule(path, facts["url"])
        for facts in complete
        if "url" in facts and (path := _inside(facts.get("path", ""))) is not None
    ]


def resolve(parent: str, url: str) -> str:
    """An address relative to its repository's, https://git-scm.com/docs/gitmodules: `../other.git`."""
    if not url.startswith(("./", "../")):
        return url
    base, separator = parent.rstrip("/"), "/"
    while url.startswith(("./", "../")):
        if url.startswith("../"):
            cut = max(base.rfind("/"), base.rfind(":"))
            base, separator = base[: max(cut, 0)], base[cut] if cut >= 0 else "/"
        url = url.partition("/")[2]
    return base + separator + url


def _inside(path: str) -> str | None:
    parts = posixpath.normpath(path).split("/") if path else [""]
    wrong = {"", ".", "..", ".git"} & {part.lower() for part in parts}
    return None if wrong else "/".join(parts)
