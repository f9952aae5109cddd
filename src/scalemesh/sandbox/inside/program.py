"""The main of the program inside: namespaces, forwarder, then one step after the other."""

import json
import signal
import socket
import sys

from scalemesh.egress import channel
from scalemesh.egress.forwarder import Forwarder
from scalemesh.sandbox.inside import namespaces
from scalemesh.sandbox.inside.loop import Loop
from scalemesh.sandbox.inside.steps import BubblewrapSteps


def main() -> None:
    """argv: the parent's pid, the control socket's descriptor, the egress socket's."""
    parent, control_fd, egress_fd = map(int, sys.argv[1:4])
    control = socket.socket(fileno=control_fd)
    egress = socket.socket(fileno=egress_fd)
    for sock in (control, egress):
        sock.set_inheritable(False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal is the holder's business
    try:
        namespaces.die_with(parent)
        namespaces.enter()
        program = Program(control, egress)
    except OSError as error:
        channel.send(control, {"event": "failed", "detail": str(error)})
        sys.exit(1)
    program.run()


class Program:
    def __init__(self, control: socket.socket, egress: socket.socket) -> None:
        self._control = control
        self._loop = Loop()
        self._steps = BubblewrapSteps()
        self._forwarder = Forwarder(egress, self._loop)

    def run(self) -> None:
        self._loop.on_readable(self._control, self._command)
        self._loop.on_child(self._child)
        channel.send(self._control, {"event": "ready"})
        self._loop.run()

    def _command(self) -> None:
        received = channel.receive(self._control)
        if received is None:
            self._loop.stop()
            return
        message, fds = received
        if message["command"] == "kill":
            self._steps.kill()
        elif message["command"] == "overlay":
            channel.send(self._control, {"event": "overlay", "done": _overlay(message["folders"])})
        else:
            self._start(fds)

    def _start(self, fds: list[int]) -> None:
        request, stdout, stderr = fds
        spec = json.loads(channel.read_all(request))
        self._forwarder.listen(spec["ports"], spec["networks"])
        try:
            self._steps.start(spec, stdout, stderr)
        except OSError as error:
            channel.send(self._control, {"event": "exited", "code": 1, "ran": False, "detail": str(error)})

    def _child(self) -> None:
        if ended := self._steps.reap():
            channel.send(self._control, ended)


def _overlay(folders: list[str]) -> bool:
    try:
        namespaces.overlay(*folders)
    except OSError:
        return False  # a kernel (before 5.11) or a file system that cannot: then it is copied
    return True


if __name__ == "__main__":
    main()
