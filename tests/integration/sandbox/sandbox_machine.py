"""A machine of its own for hostile builds: argv[1] is a JSON request, stdout is the driver's.

In a private network and mount namespace it has a loopback interface with public, private and metadata addresses,
servers that answer `canary` on them, names in /etc/hosts, an abstract socket, and a process with a secret. Then it
starts the driver through the Launcher, as the dispatcher starts an agent.
"""

import ctypes
import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from scalemesh.core.build import Limits
from scalemesh.egress import netlink
from scalemesh.sandbox.inside import namespaces
from scalemesh.sandbox.launcher import Launcher
from scalemesh.sandbox.limits import Cgroup

NEWNS, NEWNET, BIND, REC, PRIVATE = 0x20000, 0x40000000, 0x1000, 0x4000, 0x40000
ADDRESSES = ("93.184.216.34/32", "10.1.2.3/32", "169.254.169.254/32", "100.64.1.1/32")
HOSTS = """127.0.0.1 localhost rebind.test
::1 six.test
93.184.216.34 public.test
10.1.2.3 internal.test registry.npmjs.org
169.254.169.254 metadata.test
"""
libc = ctypes.CDLL(None, use_errno=True)


class Canary(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"canary"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class Server6(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6


def private_network(directory: Path) -> None:
    if libc.unshare(NEWNS | NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    libc.mount(b"none", b"/", None, REC | PRIVATE, None)
    namespaces.loopback_up()
    for address in ADDRESSES:
        netlink.add_local(address)
    hosts = directory / "hosts"
    hosts.write_text(HOSTS)
    libc.mount(str(hosts).encode(), b"/etc/hosts", None, BIND, None)
    for port in (80, 443, 8099):
        serve(http.server.ThreadingHTTPServer(("0.0.0.0", port), Canary))
    serve(Server6(("::1", 80), Canary))


def serve(server: http.server.HTTPServer) -> None:
    threading.Thread(target=server.serve_forever, daemon=True).start()


def abstract_socket() -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("\0scalemesh-canary")
    listener.listen()

    def answer() -> None:
        while True:
            connection, _ = listener.accept()
            connection.sendall(b"canary")
            connection.close()

    threading.Thread(target=answer, daemon=True).start()


def main(request: dict[str, Any]) -> int:
    directory = Path(request["directory"])
    if request["private_network"]:
        private_network(directory.parent)
        abstract_socket()
    group = Cgroup.create(request["cgroup"], Limits(**request["limits"])) if request["cgroup"] else None
    process = Launcher().spawn(
        [sys.executable, "-I", str(Path(__file__).with_name("sandbox_driver.py")), sys.argv[1]],
        uid=request["uid"],
        cwd=directory,
        env={**os.environ, "PLATFORM_SECRET": "canary-secret"},
        expose=[directory, Path(sys.argv[1]), Path(__file__).parent, *map(Path, request["expose"])],
        cgroups=group.procs_paths if group else (),
        stdout=None,
        stderr=None,
    )
    sys.stdout.write(json.dumps({"pid": process.pid}) + "\n")
    sys.stdout.flush()
    try:
        return process.wait()
    finally:
        if group:
            group.kill()
            group.remove()


if __name__ == "__main__":
    try:
        sys.exit(main(json.loads(Path(sys.argv[1]).read_text())))
    except subprocess.SubprocessError as error:
        sys.exit(str(error))
