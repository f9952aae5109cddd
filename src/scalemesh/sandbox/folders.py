"""Folders that strangers' programs own: each with a uid that nothing else on this machine has, while it exists."""

import fcntl
import os
import random
import secrets
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
    """Everything below, also what its owner made unreadable or nested without end; nothing is followed.

    Fine when it is gone. Nobody else writes there any more.
    """
    try:
        root = _open(str(folder), None)
    except FileNotFoundError:
        return
    try:
        while _clear(root, lambda name: _remove_emptied(name, root)):
            continue  # with what has moved up
    finally:
        os.close(root)
    folder.rmdir()


def _remove_emptied(name: str, root: int) -> None:
    """A folder of `root`, whose own folders move up there: the depth of a tree costs neither stack nor descriptors,
    and no path is ever long."""
    folder = _open(name, root)
    try:
        _clear(folder, lambda below: _move_up(below, folder, root))
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=root)


def _move_up(name: str, folder: int, root: int) -> None:
    os.close(_open(name, folder))  # a folder that is its owner's alone to read does not move for its owner either
    os.rename(name, secrets.token_hex(16), src_dir_fd=folder, dst_dir_fd=root)


def _clear(fd: int, on_folder: Callable[[str], None]) -> bool:
    """Removes what is in this folder, folders by `on_folder`; never holds the names of millions of files.

    False where nothing was there.
    """
    found = False
    with os.scandir(fd) as entries:
        for entry in entries:
            found = True
            if entry.is_dir(follow_symlinks=False):
                on_folder(entry.name)
            else:
                os.unlink(entry.name, dir_fd=fd)
    return found


def _open(name: str, parent: int | None) -> int:
    """A folder's descriptor, after making it readable and writable for its owner."""
    found = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        itself = f"/proc/self/fd/{found}"
        os.chmod(itself, stat.S_IRWXU)  # noqa: PTH101  a descriptor
        return os.open(itself, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(found)


def _uids_in_use() -> set[int]:
    found: set[int] = set()
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                found.add(entry.stat().st_uid)
            except FileNotFoundError:
                continue  # it ended while we looked
    return found
