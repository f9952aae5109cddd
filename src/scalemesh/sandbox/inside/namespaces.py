"""User, mount, PID, network, IPC and UTS namespaces of one's own, without any privilege."""

import ctypes
import fcntl
import os
import signal
import socket
import struct
import sys
from pathlib import Path

_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = (
    0x00020000,
    0x04000000,
    0x08000000,
    0x10000000,
    0x20000000,
    0x40000000,
)
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REC, _MS_PRIVATE = 2, 4, 8, 0x4000, 0x40000
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1

_libc = ctypes.CDLL(None, use_errno=True)


def die_with(parent: int) -> None:
    """Be killed when `parent` (a pid, the one that started us) dies; exits at once when it is dead already."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        sys.exit("the parent is gone")


def enter() -> None:
    """Become process 1 of new namespaces, root over them alone. The caller's own process stays as a waiting parent."""
    uid, gid = os.geteuid(), os.getegid()
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)")
    _check(_libc.unshare(_NEWUSER | _NEWNS | _NEWPID | _NEWNET | _NEWIPC | _NEWUTS), "unshare")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    _become_first()
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    _mount("proc", "/proc", "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    loopback_up()


def _become_first() -> None:
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    die_with(0)  # as process 1 of its namespace the parent is outside: pid 0


def loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", _IFF_UP))


def overlay(lower: str, upper: str, work: str) -> None:
    """Lays `upper` over `lower`, at the place of `upper`. Given by descriptor: no path becomes a mount option."""
    named = {"lower": lower, "upper": upper, "work": work}
    opened = {name: os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW) for name, path in named.items()}
    try:
        options = [f"{name}dir=/proc/self/fd/{fd}" for name, fd in opened.items()]
        _mount("overlay", upper, "overlay", _MS_NOSUID | _MS_NODEV, ",".join([*options, "userxattr"]))
    finally:
        for fd in opened.values():
            os.close(fd)


def _mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    done = _libc.mount(source.encode(), os.fsencode(target), kind.encode() if kind else None, flags, data.encode())
    _check(done, f"mount {target}")


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
