"""Inside the network namespace: the DNS stub, and the listeners that hand connections out by name.

Everything that arrives here comes from hostile code; everything that leaves is checked again by the guard outside.
"""

import contextlib
import socket
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from scalemesh.egress import channel, dns, netlink
from scalemesh.egress.names import Names

MAX_PENDING = 1024
_RESOLVER = ("127.0.0.1", 53)
_BACKLOG = 512


class Loop(Protocol):
    def on_readable(self, source: Any, call: Callable[[], None]) -> None: ...
    def forget(self, source: Any) -> None: ...


class Forwarder:
    """Binds at once; `egress` is the other end of a Proxy's socket. Overload is answered by closing or failing."""

    def __init__(self, egress: socket.socket, loop: Loop) -> None:
        self._egress = egress
        self._loop = loop
        self._names = Names()
        self._listeners: dict[int, socket.socket] = {}
        self._networks: set[str] = set()
        self._pending: dict[int, tuple[dns.Query, Any]] = {}
        self._last_id = 0
        egress.setblocking(False)
        self._dns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._dns.bind(_RESOLVER)
        loop.on_readable(self._dns, self._asked)
        loop.on_readable(egress, self._answered)

    def listen(self, ports: Sequence[int], networks: Sequence[str]) -> None:
        """Accept on exactly these ports, and at the addresses of these networks too, from now on."""
        for port in set(self._listeners) - set(ports):
            self._loop.forget(self._listeners[port])
            self._listeners.pop(port).close()
        for port in set(ports) - set(self._listeners):
            self._listeners[port] = self._open(port)
        for network in self._networks - set(networks):
            netlink.remove_local(network)
        for network in set(networks) - self._networks:
            netlink.add_local(network)
        self._networks = set(networks)

    def _open(self, port: int) -> socket.socket:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("", port))
        listener.listen(_BACKLOG)
        self._loop.on_readable(listener, lambda: self._accept(listener, port))
        return listener

    def _accept(self, listener: socket.socket, port: int) -> None:
        with contextlib.suppress(OSError):  # it went away before we came, or the step has used up what there is
            connection, _ = listener.accept()
            with connection:
                name = self._names.name(connection.getsockname()[0])
                self._send({"op": "connect", "name": name, "port": port}, [connection.fileno()])

    def _asked(self) -> None:
        packet, client = self._dns.recvfrom(4096)
        try:
            query = dns.parse(packet)
        except dns.Malformed:
            return  # a datagram that is no query gets no answer
        if query.kind != dns.A:
            self._reply(query, client, dns.OK)
        elif address := self._names.address(query.name):
            self._reply(query, client, dns.OK, address)
        elif len(self._pending) >= MAX_PENDING or not self._ask(query, client):
            self._reply(query, client, dns.SERVER_FAILED)

    def _ask(self, query: dns.Query, client: Any) -> bool:
        self._last_id += 1
        self._pending[self._last_id] = (query, client)
        if self._send({"op": "resolve", "id": self._last_id, "name": query.name}):
            return True
        del self._pending[self._last_id]
        return False

    def _answered(self) -> None:
        received = channel.receive(self._egress)
        if received is None:
            self._loop.forget(self._egress)
            return
        message, _ = received
        query, client = self._pending.pop(message["id"])
        address = self._names.add(query.name) if message["ok"] else None
        self._reply(query, client, dns.OK if address else dns.NO_SUCH_NAME, address)

    def _reply(self, query: dns.Query, client: Any, code: int, address: bytes | None = None) -> None:
        with contextlib.suppress(OSError):  # whoever asked may be gone
            self._dns.sendto(dns.answer(query, code, address), client)

    def _send(self, message: channel.Message, fds: Sequence[int] = ()) -> bool:
        try:
            channel.send(self._egress, message, fds)
        except OSError:
            return False  # full, or the proxy is gone: the caller fails the one request
        return True
