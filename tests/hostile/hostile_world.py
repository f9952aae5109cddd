"""The machine that hostile builds find: in namespaces of its own, with a canary wherever a build must not get to."""

import contextlib
import ctypes
import http.server
import itertools
import os
import socket
import threading
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from scalemesh.egress import dns, netlink
from scalemesh.sandbox.inside import namespaces

PUBLIC = "93.184.216.34"
ADDRESSES = (PUBLIC, "10.1.2.3", "172.16.1.1", "192.168.7.7", "100.64.1.1", "100.100.100.200", "169.254.169.254")
HOSTS = f"""127.0.0.1 localhost machine.test
::1 ip6-localhost
{PUBLIC} public.test both.test
10.1.2.3 internal.test both.test
169.254.169.254 metadata.test
"""
_NEWNS, _NEWNET, _BIND, _REC, _PRIVATE = 0x20000, 0x40000000, 0x1000, 0x4000, 0x40000
_libc = ctypes.CDLL(None, use_errno=True)


class World:
    """Folders below `root`; `enter` moves the calling process, which has one thread, into it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.platform = root / "platform"
        self.usr_local = root / "usr-local"
        self.run = root / "run"

    def enter(self) -> None:
        self._fill()
        if _libc.unshare(_NEWNS | _NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        _mount(None, Path("/"), _REC | _PRIVATE)
        namespaces.loopback_up()
        for address in ADDRESSES:
            netlink.add_local(f"{address}/32")
        for name, text in {
            "hosts": HOSTS,
            "resolv.conf": "nameserver 127.0.0.1\noptions timeout:2 attempts:1\n",
            "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
        }.items():
            (self.root / name).write_text(text)
            _mount(self.root / name, Path("/etc", name).resolve(), _BIND)
        _mount(self.usr_local, Path("/usr/local/share"), _BIND)
        _mount(self.run, Path("/run"), _BIND)
        self._serve()

    def _fill(self) -> None:
        for folder in ("artifacts", "builds/att_victim/workspace", "toolchains/shared", "repositories", "broker"):
            (self.platform / folder).mkdir(parents=True)
        for file in ("scalemesh.db", "secret.key", "artifacts/blob", "builds/att_victim/workspace/index.html"):
            (self.platform / file).write_text("canary")
        for writable in (self.platform / "toolchains/shared", self.usr_local, self.run):
            writable.mkdir(exist_ok=True)
            writable.chmod(0o777)
        for name in ("builds", "builds/att_victim"):
            (self.platform / name).chmod(0o755)

    def _serve(self) -> None:
        _in_background(_Server(("::", 80), _Page).serve_forever)
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("", 9999))
        _in_background(lambda: _echo(udp))
        names = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        names.bind(("127.0.0.1", 53))
        _in_background(_Rebinding(names).serve)
        for address in ("\0scalemesh-canary", str(self.run / "docker.sock")):
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(address)
            listener.listen()
            _in_background(partial(_greet, listener))
        (self.run / "docker.sock").chmod(0o666)


class _Page(http.server.BaseHTTPRequestHandler):
    """`canary` everywhere but at the public address, which redirects to what comes after `/to/`."""

    def do_GET(self) -> None:
        if not self.connection.getsockname()[0].endswith(PUBLIC):
            self._answer(200, b"canary")
        elif self.path.startswith("/to/"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to/"))
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self._answer(200, b"public")

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


class _Rebinding:
    """A name server of an attacker's: a name below rebind.test is public when first asked for, then loopback."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._asked: Counter[str] = Counter()

    def serve(self) -> None:
        while True:
            packet, client = self._socket.recvfrom(4096)
            with contextlib.suppress(dns.Malformed):
                self._socket.sendto(self._answer(dns.parse(packet)), client)

    def _answer(self, query: dns.Query) -> bytes:
        if not query.name.endswith(".rebind.test"):
            return dns.answer(query, dns.NO_SUCH_NAME)
        if query.kind != dns.A:
            return dns.answer(query)
        self._asked[query.name] += 1
        address = PUBLIC if self._asked[query.name] == 1 else "127.0.0.1"
        return dns.answer(query, dns.OK, socket.inet_aton(address))


def _echo(sock: socket.socket) -> None:
    while True:
        _, client = sock.recvfrom(4096)
        sock.sendto(b"canary", client)


def _greet(listener: socket.socket) -> None:
    for _ in itertools.count():
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"canary")


def _in_background(work: Callable[[], None]) -> None:
    threading.Thread(target=work, daemon=True).start()


def _mount(source: Path | None, target: Path, flags: int) -> None:
    if _libc.mount(os.fsencode(source or "none"), os.fsencode(target), None, flags, None):
        raise OSError(ctypes.get_errno(), f"mount {target}")
