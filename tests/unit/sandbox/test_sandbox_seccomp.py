"""The filter, run by a small interpreter of the BPF that it is made of."""

import errno
import socket
import struct

import pytest

from scalemesh.sandbox import seccomp

X86_64, I386, AARCH64 = 0xC000003E, 0x40000003, 0xC00000B7
ALLOW, ERRNO, KILL = 0x7FFF0000, 0x00050000, 0x80000000


def decide(machine: str, number: int, *arguments: int, arch: int | None = None) -> int:
    """What the kernel would do: seccomp_run_filters over `struct seccomp_data`."""
    program = seccomp.program(machine)
    assert program
    code = list(struct.iter_unpack("HBBI", program))
    padded = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    data = struct.pack("=iIQ6Q", number, arch or (X86_64 if machine == "x86_64" else AARCH64), 0, *padded)
    accumulator = position = 0
    while True:
        operation, jump_true, jump_false, value = code[position]
        position += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif operation == 0x06:
            return int(value)
        else:
            holds = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[operation]
            position += jump_true if holds else jump_false


@pytest.mark.parametrize(
    ("machine", "number", "arguments"),
    [
        ("x86_64", 0, ()),  # read
        ("x86_64", 59, ()),  # execve
        ("x86_64", 56, (0x01200011,)),  # clone, as fork does
        ("x86_64", 56, (0x003D0F00,)),  # clone, as a thread
        ("x86_64", 16, (0, 0x5413)),  # ioctl TIOCGWINSZ
        ("x86_64", 41, (socket.AF_INET, 1)),
        ("x86_64", 41, (socket.AF_INET6, 2, 17)),  # UDP
        ("x86_64", 41, (socket.AF_UNIX, 5)),
        ("x86_64", 41, (socket.AF_NETLINK, 3, 0)),
        ("x86_64", 135, (0xFFFFFFFF,)),  # personality, asking
        ("x86_64", 439, ()),  # faccessat2
        ("aarch64", 63, ()),  # read
        ("aarch64", 221, ()),  # execve
        ("aarch64", 220, (0x11,)),
    ],
)
def test_what_builds_need_is_allowed(machine: str, number: int, arguments: tuple[int, ...]) -> None:
    assert decide(machine, number, *arguments) == ALLOW


@pytest.mark.parametrize(
    ("machine", "number", "arguments", "error"),
    [
        ("x86_64", 165, (), errno.EPERM),  # mount
        ("x86_64", 272, (), errno.EPERM),  # unshare
        ("x86_64", 308, (), errno.EPERM),  # setns
        ("x86_64", 321, (), errno.EPERM),  # bpf
        ("x86_64", 101, (), errno.EPERM),  # ptrace
        ("x86_64", 250, (), errno.EPERM),  # keyctl
        ("x86_64", 56, (0x10000011,), errno.EPERM),  # clone into a user namespace
        ("x86_64", 56, (0x00020011,), errno.EPERM),  # clone into a mount namespace
        ("x86_64", 435, (), errno.ENOSYS),  # clone3: its flags cannot be seen
        ("x86_64", 425, (), errno.ENOSYS),  # io_uring_setup
        ("x86_64", 16, (0, 0x5412), errno.EPERM),  # ioctl TIOCSTI
        ("x86_64", 16, (0, 0xABCD00005412), errno.EPERM),  # the kernel looks at the low half only
        ("x86_64", 41, (socket.AF_PACKET, 3), errno.EAFNOSUPPORT),
        ("x86_64", 41, (38, 5), errno.EAFNOSUPPORT),  # AF_ALG
        ("x86_64", 41, (40, 1), errno.EAFNOSUPPORT),  # AF_VSOCK
        ("x86_64", 41, (socket.AF_NETLINK, 3, 12), errno.EPROTONOSUPPORT),  # netfilter
        ("x86_64", 41, (socket.AF_INET, 1, 132), errno.EPROTONOSUPPORT),  # SCTP
        ("x86_64", 41, (socket.AF_INET6, 2, 136), errno.EPROTONOSUPPORT),  # UDP-Lite
        ("x86_64", 206, (), errno.ENOSYS),  # io_setup
        ("x86_64", 438, (), errno.EPERM),  # pidfd_getfd
        ("x86_64", 135, (0x0400000,), errno.EPERM),  # personality READ_IMPLIES_EXEC
        ("x86_64", 0x40000000 | 165, (), errno.ENOSYS),  # x32 mount
        ("aarch64", 40, (), errno.EPERM),  # mount
        ("aarch64", 97, (), errno.EPERM),  # unshare
        ("aarch64", 220, (0x10000011,), errno.EPERM),
    ],
)
def test_what_attacks_start_from_is_refused(machine: str, number: int, arguments: tuple[int, ...], error: int) -> None:
    assert decide(machine, number, *arguments) == ERRNO | error


def test_another_architecture_is_killed() -> None:
    assert decide("x86_64", 21, arch=I386) == KILL


def test_an_unknown_machine_has_no_filter() -> None:
    assert seccomp.program("riscv64") is None
