"""Hostile steps. Each attack runs twice: with sandbox `none`, where it must succeed, and contained, where not."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.sandbox.sandbox_machines import Outcome, Step, py, sh

pytestmark = [
    pytest.mark.hostile,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes a machine of its own: needs root"),
]

FETCH = "import urllib.request as u; print(u.urlopen('{}', timeout=5).read().decode())"
SYSCALL = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
result = libc.syscall({})
print('canary' if result != -1 or ctypes.get_errno() not in (1, 38) else os.strerror(ctypes.get_errno()))
"""


def fetch(url: str) -> Step:
    return py(FETCH.format(url), egress={})


def syscall(arguments: str) -> Step:
    return py(SYSCALL.format(arguments))


ATTACKS: dict[str, Step] = {
    "read a file of the host": sh("cat $CANARY/readable"),
    "write a file of the host": sh("echo canary > $CANARY/writable/mark && cat $CANARY/writable/mark"),
    "read the host's users": sh("grep -q '^daemon:' /etc/passwd && echo canary"),
    "read the host's machine id or host name": sh("grep -qv '^build$' /proc/sys/kernel/hostname && echo canary"),
    "list the host's folders": sh("ls -d /sys /boot /opt /srv /media >/dev/null && echo canary"),
    "read the environment of the platform": sh("cat /proc/[0-9]*/environ 2>/dev/null | grep -ao 'can''ary-secret'"),
    "see processes of the host": sh("grep -la 'sandbox''_machine' /proc/[0-9]*/cmdline && echo canary"),
    "signal the platform": py("import os; os.kill(int(os.environ['HOLDER']), 0); print('canary')"),
    "connect to the host's abstract socket": py(
        "import socket; s = socket.socket(socket.AF_UNIX); s.connect('\\0scalemesh-canary'); print(s.recv(9).decode())"
    ),
    "reach the host's loopback": fetch("http://127.0.0.1:8099/"),
    "reach the host's loopback on an open port": fetch("http://127.0.0.1/"),
    "reach the host's IPv6 loopback": fetch("http://[::1]/"),
    "reach the host's loopback as a mapped address": fetch("http://[::ffff:127.0.0.1]/"),
    "reach the host's loopback by name": fetch("http://rebind.test/"),
    "reach the host's IPv6 loopback by name": fetch("http://six.test/"),
    "reach a private address": fetch("http://10.1.2.3/"),
    "reach a private address as a number": fetch("http://0x0a010203/"),
    "reach a private address by name": fetch("http://internal.test/"),
    "reach a registry's private address on another port": fetch("http://registry.npmjs.org/"),
    "reach a carrier address": fetch("http://100.64.1.1/"),
    "reach the metadata address": fetch("http://169.254.169.254/"),
    "reach the metadata address by name": fetch("http://metadata.test/"),
    "reach the public network without permission": py(FETCH.format("http://93.184.216.34/")),
    "make a user namespace": sh("unshare --user true && echo canary"),
    "mount": sh("unshare --user --map-root-user --mount mount -t tmpfs none /usr/share/doc && echo canary"),
    "open a raw socket": sh(
        "unshare --user --map-root-user --net python3 -c "
        "'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)' && echo canary"
    ),
    "ask the kernel about everybody's sockets": py(
        "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4); print('canary')"
    ),
    "trace": syscall("101 if os.uname().machine == 'x86_64' else 117, 0, 0, 0, 0"),
    "use the kernel's keyring": syscall("250 if os.uname().machine == 'x86_64' else 219, 0, -3, 0"),
    "use io_uring": syscall("425, 1, 0"),
    "look into another process's memory": syscall(
        "310 if os.uname().machine == 'x86_64' else 270, os.getpid(), 0, 0, 0, 0, 0"
    ),
}


@pytest.fixture(scope="module")
def outcomes(
    run_steps: Callable[..., list[Outcome]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Outcome, Outcome]]:
    canary = tmp_path_factory.mktemp("host")
    canary.chmod(0o755)
    (canary / "readable").write_text("canary")
    (canary / "writable").mkdir()
    (canary / "writable").chmod(0o777)
    for step in ATTACKS.values():
        step.env = {"CANARY": str(canary)}
    by_mode = [
        run_steps(*ATTACKS.values(), mode=mode, private_network=True, expose=[str(canary)])
        for mode in ("none", "bubblewrap")
    ]
    return dict(zip(ATTACKS, zip(*by_mode, strict=True), strict=True))


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_attack_works_without_a_sandbox(attack: str, outcomes: dict[str, tuple[Outcome, Outcome]]) -> None:
    control, _ = outcomes[attack]
    assert "canary" in control.stdout, control


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_attack_is_contained(attack: str, outcomes: dict[str, tuple[Outcome, Outcome]]) -> None:
    _, contained = outcomes[attack]
    assert "canary" not in contained.stdout, contained
    assert contained.reason == "exited"


def test_what_is_refused_is_said_in_the_log(outcomes: dict[str, tuple[Outcome, Outcome]]) -> None:
    _, contained = outcomes["reach a private address by name"]
    refusal = "egress denied: internal.test: 10.1.2.3 is a private or reserved address"
    assert contained.notices == [f"{refusal}; SCALEMESH_BUILD_EGRESS_ALLOW can allow it"]


@pytest.mark.parametrize("path", [Path("/etc/shadow"), Path("/root"), Path("/home"), Path("/var/lib")])
def test_nothing_of_the_hosts_private_folders_is_there(path: Path, run_steps: Callable[..., list[Outcome]]) -> None:
    assert path.exists()
    (outcome,) = run_steps(sh(f"ls -A {path}"))
    assert outcome.stdout.split() == (["build"] if path == Path("/home") else [])
