"""What successful builds leave for later ones: `<caches>/<project>/<trust>/<entry>/<path, quoted>`.

The platform alone writes here, and only after a build that became ready, when nothing of that build runs any more. Its
folders are moved, never copied or linked. Agents copy what they want, or lay an overlay over it: what one build does
reaches no other. The folder is closed and what is in it is the platform's; an agent is shown its project's scopes
alone, read-only, and a step only what lies below an overlay. An entry that is taken away while an agent holds it
(flock) stays on disk until nobody does.
"""

import fcntl
import os
import re
import secrets
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import structlog

from scalemesh.artifacts import beneath
from scalemesh.core.build import CacheList, CacheScope
from scalemesh.core.documents import decode
from scalemesh.errors import BuildFailed, InvalidInput
from scalemesh.sandbox import folders

LIST = "caches.json"  # in the build's folder, where no step sees it
MAX_AGE_S = 14 * 24 * 3600
_MAX_LIST_BYTES = 64 * 1024
_MAX_FILES = 500_000
_FOLDER_BYTES = 4096
_ENTRY = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")
_SIZE = "size"

log = structlog.get_logger(__name__)


class Caches:
    """`max_bytes` is of one project and trust."""

    def __init__(self, root: Path, max_bytes: int) -> None:
        self._root = root
        self._max_bytes = max_bytes
        self._lock = threading.Lock()

    def open(self) -> None:
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def readable(self, scope: CacheScope) -> list[Path]:
        """What a build of this scope may read, its own first: a branch reads production's, never the other way."""
        trusts = ["production"] if scope.trust == "production" else ["branch", "production"]
        found = [self._root / scope.project / trust for trust in trusts]
        for folder in found:
            folder.mkdir(parents=True, exist_ok=True)
        return found

    def keep(self, scope: CacheScope, build: Path) -> None:
        """Moves what the build's agent listed into the scope, and removes what is too old or too much.

        A list that is not there, or not one, keeps nothing.
        """
        own = self.readable(scope)[0]
        with self._lock:
            for name, paths in _listed(build).items():
                if paths:
                    self._replace(own / name, build, paths)
                elif (own / name).exists():
                    os.utime(own / name)  # it has been of use
            self._expire()
            self._shrink(own)
            self._sweep(own)

    def _replace(self, entry: Path, build: Path, paths: list[str]) -> None:
        new = entry.with_name(f".{secrets.token_hex(8)}")
        new.mkdir()
        try:
            size = sum(_move(build, path, new / quote(path, safe="")) for path in paths)
            (new / _SIZE).write_text(str(size))
        except OSError as error:  # too deep, too many, no disk: a cache is never worth a failure
            log.warning("cache not kept", entry=entry.name, cause=str(error))
            folders.remove(new)
            return
        _remove(entry)
        new.rename(entry)

    def _expire(self) -> None:
        oldest = time.time() - MAX_AGE_S
        for entry in self._root.glob("*/*/[!.]*"):
            if entry.lstat().st_mtime < oldest:
                _remove(entry)

    def _shrink(self, scope: Path) -> None:
        """The newest entries that fit together stay."""
        total = 0
        for entry in sorted(scope.glob("[!.]*"), key=lambda path: path.lstat().st_mtime, reverse=True):
            size = entry / _SIZE
            total += int(size.read_text()) if size.exists() else 0
            if total > self._max_bytes or not size.exists():
                _remove(entry)

    def _sweep(self, scope: Path) -> None:
        for gone in scope.glob(".*"):
            _delete(gone)


def _listed(build: Path) -> dict[str, list[str]]:
    try:
        root = os.open(build, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return {}
    try:
        with os.fdopen(beneath.open_file(root, LIST), "rb") as file:
            entries = decode(CacheList, file.read(_MAX_LIST_BYTES)).entries
    except (BuildFailed, InvalidInput):
        return {}
    finally:
        os.close(root)
    return {name: paths for name, paths in entries.items() if _ENTRY.fullmatch(name) and all(map(_is_ours, paths))}


def _is_ours(path: str) -> bool:
    parts = path.split("/")
    return len(parts) > 1 and parts[0] in {"workspace", "home"} and not {"", ".", ".."} & set(parts)


def _move(build: Path, path: str, target: Path) -> int:
    """Moves a folder and opens it for reading; answers its bytes, 0 for what is not a folder there."""
    parent, _, name = path.rpartition("/")
    try:
        fd = beneath.open_folder(build, parent)
    except BuildFailed:
        return 0
    try:
        if not stat.S_ISDIR(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode):
            return 0
        os.rename(name, target, src_dir_fd=fd)
    except FileNotFoundError:
        return 0
    finally:
        os.close(fd)
    return sum(_opened(target))


def _opened(folder: Path) -> Iterator[int]:
    """Every file's size. It becomes ours, for others to read, and no bit but read and execute counts.

    Nobody writes there any more, so paths are safe; one that is too long raises OSError, as too many files do.
    """
    uid, gid = os.geteuid(), os.getegid()
    pending, left = [str(folder)], _MAX_FILES
    while pending:
        above = pending.pop()
        os.chmod(above, 0o755)  # noqa: PTH101, S103  plain strings: half a million of them; the folder above is closed
        os.lchown(above, uid, gid)
        with os.scandir(above) as entries:
            for entry in entries:
                left -= 1
                if left < 0:
                    raise OSError(f"more than {_MAX_FILES} files")
                os.lchown(entry.path, uid, gid)
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    found = entry.stat(follow_symlinks=False)
                    os.chmod(entry.path, 0o644 | (0o111 if found.st_mode & 0o100 else 0))  # noqa: PTH101
                    yield found.st_blocks * 512
                elif not entry.is_symlink():
                    os.unlink(entry.path)  # noqa: PTH108
        yield _FOLDER_BYTES


def _remove(entry: Path) -> None:
    if entry.exists():
        gone = entry.with_name(f".{secrets.token_hex(8)}")
        entry.rename(gone)
        _delete(gone)


def _delete(gone: Path) -> None:
    """Unless an agent holds it: then the next sweep does."""
    fd = os.open(gone, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        folders.remove(gone)
    except BlockingIOError:
        log.info("cache still in use", entry=gone.name)
    finally:
        os.close(fd)
