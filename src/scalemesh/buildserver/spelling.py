"""Imports that work where `Header` and `header` are one file, as on macOS and Windows, and not here."""

import posixpath
import re
from collections.abc import Iterable
from pathlib import Path

from scalemesh.buildserver.tree import Tree

# What bundlers, TypeScript and Node say of a file that is not there; the path is the project's own, no package's.
_MISSING = re.compile(
    r"(?:resolve(?: import)?|find module|could not load|no such file or directory, \w+)\s+"
    r"""["'`]?((?:[.@~]{1,2}|src)?/[^\s"'`?]+)""",
    re.IGNORECASE,
)
_MOST = 10  # of the files that an output says are missing
_ABOVE = re.compile(r"^(?:/workspace/|(?:\.{1,2}/)+|[@~]?/)")


def of_another_case(output: str, workspace: Path) -> tuple[str, str] | None:
    """(what was asked for, the file that differs from it in case alone), once no process of the build is alive."""
    if not (asked := list(dict.fromkeys(_MISSING.findall(output)))[:_MOST]):
        return None
    with Tree(workspace) as tree:
        files = tree.listing({".git", "node_modules"})
    found = ((each, _file(each, files)) for each in asked)
    return next(((each, file) for each, file in found if file), None)


def _file(asked: str, files: Iterable[str]) -> str | None:
    """None where nothing is called so, or where something is: then its name is not what was wrong."""
    wanted = "/" + posixpath.normpath(_ABOVE.sub("", asked))
    found = None
    for file in files:
        stem = posixpath.splitext(file)[0]
        for name in (f"/{file}", f"/{stem}", f"/{stem.removesuffix('/index')}"):
            if name.endswith(wanted):
                return None
            if found is None and name.lower().endswith(wanted.lower()):
                found = file
    return found
