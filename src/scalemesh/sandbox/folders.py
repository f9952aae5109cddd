"""Folders that strangers' programs own: each with a uid that nothing else on this machine has, while it exists."""

import fcntl
import os
import random
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from scalemesh.errors import InfrastructureFault


def claim(folder: Path, uids: range) -> int | None:
    """Create `folder` (0700) and answer the uid that owns it: one of `uids`, or None where we are not root ourselves.

    The folder is the claim: its uid is free again once it is removed. Raises InfrastructureFault when all are taken.
    """
    if os.geteuid() != 0:
        folder.mkdir(mode=0o700)
        return None
    lock = os.open(folder.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        taken = _uids_in_use() | {path.lstat().st_uid for path in folder.parent.iterdir()}
        free = [uid for uid in uids if uid not in taken]
        if not free:
            raise InfrastructureFault("Every uid for builds is in use.", code="no_uid")
        uid = random.choice(free)  # two platforms on one machine do not see each other's folders
        folder.mkdir(mode=0o700)
        os.chown(folder, uid, uid)
        return uid
    finally:
        os.close(lock)


def remove(folder: Path) -> None:
    """Everything below, also what its owner made unreadable; nothing is followed. Fine when it is gone."""

    def open_up(retry: Callable[[str], object], path: str, _: object) -> None:
        for at in (Path(path).parent, Path(path)):
            if at.is_relative_to(folder) and at.exists() and not at.is_symlink():
                at.chmod(stat.S_IRWXU)
        retry(path)

    for _ in range(3):  # a folder that could not be listed is empty only after it was opened up
        if folder.exists():
            shutil.rmtree(folder, onerror=open_up)


def _uids_in_use() -> set[int]:
    found: set[int] = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                found.add(entry.stat().st_uid)
            except FileNotFoundError:
                continue  # it ended while we looked
    return found
