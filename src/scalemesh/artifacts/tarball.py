"""Archives of files alone: what uploads and packages are. (`tarfile`'s own filters came with Python 3.11.4.)"""

import shutil
import tarfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath


def extract(tar: tarfile.TarFile, folder: Path, members: Iterable[tarfile.TarInfo] | None = None) -> None:
    """Writes regular files and folders below `folder`, of which only the executable bit is kept.

    Raises tarfile.ExtractError for a link, a device, or a path that is absolute or has `..`: nothing leaves `folder`.
    """
    for member in tar if members is None else members:
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts or not (member.isreg() or member.isdir()):
            raise tarfile.ExtractError(f"{member.name!r} is not a file below the archive's folder")
        target = folder / path
        if member.isdir():
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        source = tar.extractfile(member)
        if source is None:
            raise tarfile.ExtractError(f"{member.name!r} has no content")
        with source, target.open("wb") as file:
            shutil.copyfileobj(source, file)
        target.chmod(0o755 if member.mode & 0o100 else 0o644)
