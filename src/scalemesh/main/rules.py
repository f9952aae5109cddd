"""The rules of a folder on this machine, read as a build reads them."""

from collections.abc import Container
from pathlib import Path

from scalemesh.core.build import Flavour
from scalemesh.rules.limits import MAX_FILE_BYTES
from scalemesh.rules.read import Parsed, read_rules


def of_folder(directory: Path, paths: Container[str], flavour: Flavour | None = None) -> Parsed:
    """`paths` are those that the site serves; `flavour` None: decided by the files that are present."""

    def read(name: str) -> bytes | None:
        path = directory / name
        if path.is_symlink() or not path.is_file():
            return None
        with path.open("rb") as file:
            return file.read(MAX_FILE_BYTES + 1)

    return read_rules(read, read, lambda path: path in paths, flavour)
