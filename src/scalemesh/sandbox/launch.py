"""Run as `python -I -S launch.py`: become an unprivileged uid, then the program asked for. Stdlib only.

Reads one JSON object from stdin: `uid`, `gid`, `argv`, `cwd`, `expose` (paths that must be reachable), `owned` (of
those, folders of root's that the program sees as its own, read-only, where the kernel can do that) and `cgroups`
(cgroup.procs files to join). As root it makes a private mount namespace in which the exposed paths can be reached even
when a folder above them is closed (python under a 0700 /root): an empty tmpfs covers the closed folder and the exposed
paths are bound into it, so nothing else of it is there any more. The environment is the caller's. Exit code 125 and a
line on stderr when it cannot be done. The pid stays the same, and no process has both the uid 0 and `argv`.
"""

import contextlib
import ctypes
import json
import os
import signal
import struct
import sys
from pathlib import Path
from typing import Any

FAILED = 125
_MS_NOSUID, _MS_NODEV, _MS_BIND, _MS_REC, _MS_PRIVATE = 2, 4, 0x1000, 0x4000, 0x40000
_CLONE_NEWNS, _CLONE_NEWUSER = 0x20000, 0x10000000
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR = 428, 429, 442  # the same on every architecture
_AT_FDCWD, _AT_EMPTY_PATH, _OPEN_TREE_CLONE, _MOVE_MOUNT_F_EMPTY_PATH = -100, 0x1000, 1, 4
_MOUNT_ATTR_RDONLY, _MOUNT_ATTR_IDMAP = 1, 0x100000
_PR_SET_NO_NEW_PRIVS = 38

_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Never returns: the process becomes another program, or ends with FAILED."""
    request = json.load(sys.stdin)
    try:
        launch(request)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"launch: {error}\n")
        sys.exit(FAILED)


def launch(request: dict[str, Any]) -> None:
    uid, gid = request["uid"], request["gid"]
    cgroups = [os.open(path, os.O_WRONLY | os.O_CLOEXEC) for path in request["cgroups"]]
    if uid is not None:
        if uid == 0 or gid == 0:
            raise ValueError("builds never run as root")
        expose([Path(p) for p in request["expose"]], uid, gid)
        for path in request["owned"]:
            with contextlib.suppress(OSError):  # not with this kernel or file system: it stays readable, as it was
                show_as_own(path, uid, gid)
        _become(uid, gid)
    for fd in cgroups:
        os.write(fd, b"0")  # opened as root, written as the build: no build process in a cgroup is ever root
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
    os.chdir(request["cwd"])
    _quiet_stdin()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execvpe(request["argv"][0], request["argv"], os.environ)  # noqa: S606 - no shell is what we want


def expose(paths: list[Path], uid: int, gid: int) -> None:
    """A mount namespace of our own in which `uid` can reach every path."""
    os.setgroups([])
    _check(_libc.unshare(_CLONE_NEWNS), "unshare")
    _mount("none", Path("/"), None, _MS_REC | _MS_PRIVATE)
    wanted = _outermost([*paths, *(p.resolve() for p in paths)])
    closed: dict[Path, list[Path]] = {}
    for path in wanted:
        if above := closed_above(path, uid, gid):
            closed.setdefault(above, []).append(path)
    for above, below in closed.items():
        _cover(above, below)


def show_as_own(path: str, uid: int, gid: int) -> None:
    """What root owns in `path` is owned by `uid` there, for us alone, and can only be read."""
    namespace = _mapping(uid, gid)
    tree = _check(_libc.syscall(_OPEN_TREE, _AT_FDCWD, os.fsencode(path), _OPEN_TREE_CLONE | os.O_CLOEXEC), "open_tree")
    try:
        attributes = struct.pack("QQQQ", _MOUNT_ATTR_RDONLY | _MOUNT_ATTR_IDMAP, 0, 0, namespace)
        done = _libc.syscall(_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, attributes, len(attributes))
        _check(done, "mount_setattr")
        moved = _libc.syscall(_MOVE_MOUNT, tree, b"", _AT_FDCWD, os.fsencode(path), _MOVE_MOUNT_F_EMPTY_PATH)
        _check(moved, "move_mount")
    finally:
        os.close(tree)
        os.close(namespace)


def _mapping(uid: int, gid: int) -> int:
    """A user namespace that maps root's ids to these; a child makes it, and it outlives the child by its descriptor."""
    made_by, made = os.pipe()
    done, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(made, b"1" if _libc.unshare(_CLONE_NEWUSER) == 0 else b"0")
        os.close(tell)
        os.read(done, 1)
        os._exit(0)
    try:
        if os.read(made_by, 1) != b"1":
            raise OSError("no user namespace")
        Path(f"/proc/{child}/uid_map").write_text(f"0 {uid} 1")
        Path(f"/proc/{child}/gid_map").write_text(f"0 {gid} 1")
        return os.open(f"/proc/{child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        for fd in (made_by, made, done, tell):
            os.close(fd)
        os.waitpid(child, 0)


def _outermost(paths: list[Path]) -> list[Path]:
    unique = sorted(set(paths), key=lambda p: len(p.parts))
    return [p for i, p in enumerate(unique) if not any(p.is_relative_to(q) for q in unique[:i])]


def closed_above(path: Path, uid: int, gid: int) -> Path | None:
    """The topmost folder above `path` that `uid` cannot pass through."""
    os.setresgid(-1, gid, -1)
    os.setresuid(-1, uid, -1)
    try:
        above = reversed(path.parents)
        return next((p for p in above if not os.access(p, os.X_OK, effective_ids=True)), None)
    finally:
        os.setresuid(-1, 0, -1)
        os.setresgid(-1, 0, -1)


def _cover(above: Path, below: list[Path]) -> None:
    held = [(path, os.open(path, os.O_PATH | os.O_CLOEXEC)) for path in below]
    _mount("tmpfs", above, "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=0755,size=1m")
    for path, fd in held:
        source = Path(f"/proc/self/fd/{fd}")
        if source.is_dir():
            path.mkdir(parents=True, mode=0o755)
        else:
            path.parent.mkdir(parents=True, mode=0o755, exist_ok=True)
            path.touch()
        _mount(str(source), path, None, _MS_BIND | _MS_REC)
        os.close(fd)


def _become(uid: int, gid: int) -> None:
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def _quiet_stdin() -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def _mount(source: str, target: Path, kind: str | None, flags: int, data: str | None = None) -> None:
    done = _libc.mount(
        source.encode(), os.fsencode(target), kind.encode() if kind else None, flags, data.encode() if data else None
    )
    _check(done, f"mount {target}")


def _check(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


if __name__ == "__main__":
    main()
