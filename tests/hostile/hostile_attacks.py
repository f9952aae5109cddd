"""Attacks that print `canary` where they succeed: all run in one build, without a sandbox and within it.

`$PLATFORM` is the platform's folder on the host, `$API` the address of its API.
"""

from dataclasses import dataclass

_FETCH = "import urllib.request as u; print(u.urlopen({!r}, timeout=4).read().decode())"
_TWICE = """
import socket, urllib.request as u
for _ in range(3):
    socket.getaddrinfo("{0}", 80)
    print(u.urlopen("http://{0}/", timeout=4).read().decode())
"""
_UDP = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(2)
s.sendto(b"x", ("{}", 9999)); print(s.recv(99).decode())
"""
_SYSCALL = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
x86 = os.uname().machine == "x86_64"
result = libc.syscall({})
print("canary" if result != -1 or ctypes.get_errno() not in (1, 38) else os.strerror(ctypes.get_errno()))
"""
# Every other process, its memory searched for the build token, whose text is put together so as not to find itself.
_MEMORY = """
import os, re
wanted = b"smb_" + b"token"
for pid in filter(str.isdigit, os.listdir("/proc")):
    if int(pid) == os.getpid():
        continue
    try:
        for line in open(f"/proc/{pid}/maps"):
            if " rw-p " not in line:
                continue
            first, last = (int(at, 16) for at in line.split()[0].split("-"))
            with open(f"/proc/{pid}/mem", "rb") as memory:
                memory.seek(first)
                if wanted in memory.read(last - first):
                    print("canary"); raise SystemExit
    except OSError as error:
        print(pid, error)
"""
_SIGNAL = """
import os
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        if b"scalemesh.main.agent" in open(f"/proc/{pid}/cmdline", "rb").read():
            os.kill(int(pid), 0); print("canary")
    except OSError as error:
        print(error)
"""
_BROKER = """
import glob, os, socket
for path in glob.glob(os.environ["PLATFORM"] + "/broker/*"):
    s = socket.socket(socket.AF_UNIX); s.connect(path); print("canary")
"""
_CONNECT_UNIX = "import socket; s = socket.socket(socket.AF_UNIX); s.connect({!r}); print(s.recv(9).decode())"
_MAPPED = """
import socket
s = socket.create_connection(("::ffff:169.254.169.254", 80), 4)
s.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n"); print(s.makefile().read())
"""
_API = """
import os, urllib.error, urllib.request as u
try: u.urlopen(os.environ["API"].replace("127.0.0.1", {!r}) + "/v1/builds/att_x/heartbeat", b"", timeout=4)
except urllib.error.HTTPError as error: print("canary", error.code)
"""
_OWN_NETWORK = "unshare --user --map-root-user --net python3 -c 'import socket; {}' && echo canary"
_DEVICES = "core|console|fd|full|mqueue|null|ptmx|pts|random|shm|stderr|stdin|stdout|tty|urandom|zero"
_TERMINAL = """
import errno, fcntl, os, termios
os.setsid()
_, terminal = os.openpty()
fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)
try: fcntl.ioctl(terminal, termios.TIOCSTI, b"x"); print("canary")
except OSError as error: print("refused" if error.errno == errno.EPERM else "canary", error)
"""
_SETUID = """
import os, shutil
shutil.copy("/bin/sh", "/tmp/own"); os.chmod("/tmp/own", 0o4755)
print("canary" if "NoNewPrivs:\\t1" not in open("/proc/self/status").read() else "no new privileges")
"""


@dataclass(frozen=True)
class Attack:
    """`essential`: in every run of the tests. A script with `import` in it is python's, any other is the shell's."""

    script: str
    essential: bool = False

    @property
    def suffix(self) -> str:
        return "py" if "import " in self.script and not self.script.startswith("unshare") else "sh"


def _fetch(url: str, *, essential: bool = False) -> Attack:
    return Attack(_FETCH.format(url), essential)


ATTACKS: dict[str, Attack] = {
    # Files
    "see /etc/shadow": Attack("test -e /etc/shadow && echo canary", essential=True),
    "see root's and users' folders": Attack("ls -d /root /srv /boot && echo canary"),
    "read the database": Attack("cat $PLATFORM/scalemesh.db", essential=True),
    "read the key of all secrets": Attack("cat $PLATFORM/secret.key", essential=True),
    "read another team's artifacts": Attack("cat $PLATFORM/artifacts/blob"),
    "read another build's workspace": Attack("cat $PLATFORM/builds/att_victim/workspace/index.html"),
    "find another build": Attack("ls $PLATFORM/builds | grep att_victim && echo canary"),
    "read by way of /proc/1/root": Attack("cat /proc/[0-9]*/root$PLATFORM/secret.key"),
    "write into the system": Attack("echo canary > /usr/local/share/mark && cat /usr/local/share/mark"),
    "poison a toolchain": Attack(
        "for d in /opt $PLATFORM/toolchains; do echo canary > $d/shared/mark && cat $d/shared/mark; done"
    ),
    # Processes
    "read environments of the platform": Attack(
        "grep -aq SCALEMESH_AGENT''_ATTEMPT /proc/[0-9]*/environ && echo canary", essential=True
    ),
    "read the token from the agent's memory": Attack(_MEMORY, essential=True),
    "signal the agent": Attack(_SIGNAL),
    "see processes of the host": Attack("cat /proc/[0-9]*/cmdline | grep -aq 'hostile[_]machine' && echo canary"),
    "trace a process": Attack(_SYSCALL.format("101 if x86 else 117, 0, 0, 0, 0")),
    "read another process's memory": Attack(_SYSCALL.format("310 if x86 else 270, os.getpid(), 0, 0, 0, 0, 0")),
    "write into another process's memory": Attack(
        "import os; open(f'/proc/{os.getppid()}/mem', 'r+b', 0).close(); print('canary')"
    ),
    "take its own place in the order of memory kills": Attack(
        "echo 0 > /proc/self/oom_score_adj; test $(cat /proc/self/oom_score_adj) = 0 && echo canary"
    ),
    # The kernel
    "make a user namespace": Attack("unshare --user true && echo canary"),
    "mount": Attack("unshare --user --map-root-user --mount mount -t tmpfs none /usr/share/doc && echo canary"),
    "open a packet socket": Attack(_OWN_NETWORK.format("socket.socket(socket.AF_PACKET, socket.SOCK_RAW)")),
    "open a raw socket": Attack(_OWN_NETWORK.format("socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)")),
    "ask the kernel for everybody's sockets": Attack(
        "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4); print('canary')"
    ),
    "keep capabilities within reach": Attack("grep -q 'CapBnd:.0*$' /proc/self/status || echo canary"),
    "run without a system call filter": Attack("grep -q '^Seccomp:.0' /proc/self/status && echo canary"),
    "use io_uring": Attack(_SYSCALL.format("425, 1, 0")),
    "use the kernel's keyring": Attack(_SYSCALL.format("250 if x86 else 219, 0, -3, 0")),
    "use up the machine's asynchronous I/O": Attack(
        _SYSCALL.format("206 if x86 else 0, 1, ctypes.byref(ctypes.c_ulong(0))")
    ),
    "have page faults wait": Attack(_SYSCALL.format("323 if x86 else 282, 1")),
    "count the processor's events": Attack(_SYSCALL.format("298 if x86 else 241, 0, 0, -1, -1, 0")),
    "load a program into the kernel": Attack(_SYSCALL.format("321 if x86 else 280, 0, 0, 0")),
    "take a descriptor out of a process": Attack(_SYSCALL.format("438, -1, 0, 0")),
    "open files by their number": Attack(_SYSCALL.format("303 if x86 else 264, -100, b'/', 0, 0, 0")),
    "clone into a user namespace": Attack(_SYSCALL.format("56 if x86 else 220, 0x10000011, 0, 0, 0, 0")),
    "type into a terminal": Attack(_TERMINAL),
    "have the kernel load a protocol": Attack(
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 136); print('canary')"
    ),
    "start the host's program for core dumps": Attack(
        "grep -q '^Max core file size *1 ' /proc/self/limits || echo canary"
    ),
    "find devices": Attack(f"ls /dev | grep -qvxE '{_DEVICES}' && echo canary"),
    # Sockets of the host
    "connect to an abstract socket": Attack(_CONNECT_UNIX.format("\0scalemesh-canary")),
    "connect to docker.sock": Attack(_CONNECT_UNIX.format("/run/docker.sock"), essential=True),
    "connect to the platform's broker": Attack(_BROKER),
    # The network
    "reach the API on 127.0.0.1": Attack(_API.format("127.0.0.1"), essential=True),
    "reach the API on localhost": Attack(_API.format("localhost")),
    "reach loopback by another number": _fetch("http://127.9.9.9/"),
    "reach loopback as 127.1": _fetch("http://127.1/"),
    "reach loopback as 0.0.0.0": _fetch("http://0.0.0.0/"),
    "reach loopback by name": _fetch("http://machine.test/"),
    "reach IPv6 loopback": _fetch("http://[::1]/"),
    "reach IPv6 loopback by name": _fetch("http://ip6-localhost/"),
    "reach the machine's own address": _fetch("http://10.1.2.3/"),
    "reach 172.16/12": _fetch("http://172.16.1.1/"),
    "reach 192.168/16": _fetch("http://192.168.7.7/"),
    "reach a carrier's addresses": _fetch("http://100.64.1.1/"),
    "reach a private address by name": _fetch("http://internal.test/"),
    "reach metadata": _fetch("http://169.254.169.254/latest/meta-data/", essential=True),
    "reach metadata by name": _fetch("http://metadata.test/"),
    "reach metadata in decimal": _fetch("http://2852039166/"),
    "reach metadata in hexadecimal": _fetch("http://0xa9fea9fe/"),
    "reach metadata in octal": _fetch("http://0251.0376.0251.0376/"),
    "reach metadata IPv6-mapped": Attack(_MAPPED),
    "reach another cloud's metadata": _fetch("http://100.100.100.200/"),
    "reach metadata by a redirect": _fetch("http://public.test/to/http://169.254.169.254/", essential=True),
    "reach loopback by a redirect": _fetch("http://public.test/to/http://127.0.0.1/"),
    "reach loopback by DNS rebinding": Attack(_TWICE.format("a.rebind.test"), essential=True),
    "leave by UDP": Attack(_UDP.format("10.1.2.3")),
    "leave by UDP to a public address": Attack(_UDP.format("93.184.216.34")),
}

_NOT_AN_ATTACK = _FETCH.format("http://public.test/")

_RUNNER = """
for f in attacks/*; do
  name=${f#attacks/}; name=${name%.*}
  echo "@@@ $name"
  case $f in *.py) timeout 8 python3 "$f" ;; *) timeout 8 sh "$f" ;; esac </dev/null 2>&1
  echo; echo "@@= $name"
done
echo "@@@ control"; python3 control.py; echo "@@= control"
mkdir out; echo ran > out/index.html
"""


def label(name: str) -> str:
    """As a file's name."""
    return "".join(char if char.isalnum() else "-" for char in name)


def repository(*, essential: bool) -> dict[str, str]:
    """The files of a build that runs these attacks one after the other."""
    chosen = {name: attack for name, attack in ATTACKS.items() if attack.essential == essential}
    files = {f"attacks/{label(name)}.{attack.suffix}": attack.script for name, attack in chosen.items()}
    return {"build.sh": _RUNNER, "control.py": _NOT_AN_ATTACK, **files}
