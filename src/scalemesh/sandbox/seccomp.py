"""The system call filter of every step, as a BPF program for `bwrap --seccomp`.

What a build never needs and what attacks on the kernel start from is refused: EPERM, or ENOSYS where a C library then
falls back to an older call. Calls of another architecture's ABI (32-bit, x32) are refused whole.
Source of the list: Docker's default profile and flatpak's (https://github.com/moby/profiles, flatpak-run.c).
"""

import errno
import platform
import socket
import struct
from dataclasses import dataclass

_LD_W_ABS, _JEQ, _JGE, _JSET, _RET = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NR, _ARCH, _ARG0_LOW, _ARG1_LOW, _ARG2_LOW = 0, 4, 16, 24, 32  # struct seccomp_data, little-endian
_CLONE_NAMESPACES = 0x7E020000  # NEWNS|NEWCGROUP|NEWUTS|NEWIPC|NEWUSER|NEWPID|NEWNET
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_INTERNET = (socket.AF_INET, socket.AF_INET6)
# The kernel would load a module for any other that is asked for.
_PROTOCOLS = (0, socket.IPPROTO_TCP, socket.IPPROTO_UDP, socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6)
_NETLINK_ROUTE = 0  # C libraries list interfaces with it


@dataclass(frozen=True)
class _Machine:
    audit: int
    number: dict[str, int]


# Numbers: linux/arch/x86/entry/syscalls/syscall_64.tbl; include/uapi/asm-generic/unistd.h. From 424 on both agree.
_COMMON = {
    "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433,
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "mount_setattr": 442,
    "clone3": 435, "open_tree_attr": 467, "quotactl_fd": 443, "memfd_secret": 447, "pidfd_getfd": 438,
    "process_madvise": 440,
}  # fmt: skip
_X86_64 = _Machine(0xC000003E, _COMMON | {
    "clone": 56, "unshare": 272, "setns": 308, "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161,
    "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "add_key": 248, "request_key": 249,
    "keyctl": 250, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "init_module": 175, "finit_module": 313,
    "delete_module": 176, "kexec_load": 246, "kexec_file_load": 320, "reboot": 169, "swapon": 167, "swapoff": 168,
    "acct": 163, "quotactl": 179, "name_to_handle_at": 303, "open_by_handle_at": 304,
    "syslog": 103, "iopl": 172, "ioperm": 173, "settimeofday": 164, "clock_settime": 227, "adjtimex": 159,
    "clock_adjtime": 305, "lookup_dcookie": 212, "nfsservctl": 180, "vhangup": 153, "move_pages": 279,
    "migrate_pages": 256, "mbind": 237, "set_mempolicy": 238, "sethostname": 170, "setdomainname": 171,
    "modify_ldt": 154, "personality": 135, "uselib": 134, "ustat": 136, "sysfs": 139, "_sysctl": 156,
    "fanotify_init": 300, "ioctl": 16, "socket": 41, "io_setup": 206,
})  # fmt: skip
_AARCH64 = _Machine(0xC00000B7, _COMMON | {
    "clone": 220, "unshare": 97, "setns": 268, "mount": 40, "umount2": 39, "pivot_root": 41, "chroot": 51,
    "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272, "add_key": 217, "request_key": 218,
    "keyctl": 219, "bpf": 280, "perf_event_open": 241, "userfaultfd": 282, "init_module": 105, "finit_module": 273,
    "delete_module": 106, "kexec_load": 104, "kexec_file_load": 294, "reboot": 142, "swapon": 224, "swapoff": 225,
    "acct": 89, "quotactl": 60, "name_to_handle_at": 264, "open_by_handle_at": 265,
    "syslog": 116, "settimeofday": 170, "clock_settime": 112, "adjtimex": 171, "clock_adjtime": 266,
    "lookup_dcookie": 18, "nfsservctl": 42, "vhangup": 58, "move_pages": 239, "migrate_pages": 238, "mbind": 235,
    "set_mempolicy": 237, "sethostname": 161, "setdomainname": 162, "personality": 92, "fanotify_init": 262,
    "ioctl": 29, "socket": 198, "io_setup": 0,
})  # fmt: skip
_MACHINES = {"x86_64": _X86_64, "aarch64": _AARCH64, "arm64": _AARCH64}
# io_setup: all of a machine share one number of events (fs.aio-max-nr), which one build could use up.
_ENOSYS = {"clone3", "io_setup", "io_uring_setup", "io_uring_enter", "io_uring_register", "memfd_secret"}
_BY_ARGUMENT = {"clone", "ioctl", "socket", "personality"}


def program(machine: str | None = None) -> bytes | None:
    """The filter for `machine` (default: this one), or None for a machine that has none."""
    known = _MACHINES.get(machine or platform.machine())
    return b"".join(_filter(known)) if known else None


def _op(code: int, value: int, jump_true: int = 0, jump_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, jump_true, jump_false, value & 0xFFFFFFFF)


def _errno(number: int) -> bytes:
    return _op(_RET, _ERRNO | number)


def _filter(machine: _Machine) -> list[bytes]:
    code = [_op(_LD_W_ABS, _ARCH), _op(_JEQ, machine.audit, 1, 0), _op(_RET, _KILL), _op(_LD_W_ABS, _NR)]
    if machine is _X86_64:
        code += [_op(_JGE, 0x40000000, 0, 1), _errno(errno.ENOSYS)]  # the x32 ABI
    for name, number in sorted(machine.number.items(), key=lambda item: item[1]):
        if name not in _BY_ARGUMENT:
            code += [_op(_JEQ, number, 0, 1), _errno(errno.ENOSYS if name in _ENOSYS else errno.EPERM)]
    for name in sorted(_BY_ARGUMENT):
        body = _ARGUMENT_CHECKS[name]()
        code += [_op(_JEQ, machine.number[name], 0, len(body)), *body]
    return [*code, _op(_RET, _ALLOW)]


def _clone() -> list[bytes]:
    return [
        _op(_LD_W_ABS, _ARG0_LOW),
        _op(_JSET, _CLONE_NAMESPACES, 0, 1),
        _errno(errno.EPERM),
        _op(_RET, _ALLOW),
    ]


def _ioctl() -> list[bytes]:
    return _refuse_values(_ARG1_LOW, (_TIOCSTI, _TIOCLINUX), errno.EPERM)


def _socket() -> list[bytes]:
    protocols = [_op(_LD_W_ABS, _ARG2_LOW)]
    for protocol in _PROTOCOLS:
        protocols += [_op(_JEQ, protocol, 0, 1), _op(_RET, _ALLOW)]
    protocols += [_errno(errno.EPROTONOSUPPORT)]
    body = [_op(_LD_W_ABS, _ARG0_LOW), _op(_JEQ, socket.AF_UNIX, 0, 1), _op(_RET, _ALLOW)]
    body += [_op(_JEQ, socket.AF_NETLINK, 0, 4), _op(_LD_W_ABS, _ARG2_LOW), _op(_JEQ, _NETLINK_ROUTE, 0, 1)]
    body += [_op(_RET, _ALLOW), _errno(errno.EPROTONOSUPPORT)]
    body += [_op(_JEQ, family, len(_INTERNET) - at, 0) for at, family in enumerate(_INTERNET)]
    return [*body, _errno(errno.EAFNOSUPPORT), *protocols]


def _personality() -> list[bytes]:
    allowed = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)  # the defaults, and asking
    body = [_op(_LD_W_ABS, _ARG0_LOW)]
    for value in allowed:
        body += [_op(_JEQ, value, 0, 1), _op(_RET, _ALLOW)]
    return [*body, _errno(errno.EPERM)]


def _refuse_values(argument: int, values: tuple[int, ...], code: int) -> list[bytes]:
    body = [_op(_LD_W_ABS, argument)]
    for value in values:
        body += [_op(_JEQ, value, 0, 1), _errno(code)]
    return [*body, _op(_RET, _ALLOW)]


_ARGUMENT_CHECKS = {"clone": _clone, "ioctl": _ioctl, "socket": _socket, "personality": _personality}
