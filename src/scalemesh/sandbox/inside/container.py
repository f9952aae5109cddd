"""The main of a build's own container: `python -I -S -m … SOCKET`, its process 1, with nothing else beside it.

One step after the other, as the agent in the container beside it asks (scalemesh.sandbox.remote); then the end, when
nothing of the build is alive. The first to connect is the agent: no step has run by then, and the socket is gone after.
"""

import ctypes
import json
import os
import signal
import socket
import sys
from pathlib import Path

from scalemesh.egress import channel
from scalemesh.egress.forwarder import Forwarder
from scalemesh.sandbox.inside.loop import Loop
from scalemesh.sandbox.inside.steps import Steps
from scalemesh.sandbox.limits import own_memory, own_processes

AGENT_WITHIN_S = 600
_SECRET = ("AWS_", "ECS_")  # where ECS tells containers how to get their role's keys; steps have no use for them
_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38
_LIBC = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    if os.getpid() != 1:  # the end of a step kills every process that it may: that is to be the container's alone
        sys.exit("This runs as process 1 of a container of its own.")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))  # process 1 ignores what it has no handler for
    _close_to_steps()
    for name in [name for name in os.environ if name.startswith(_SECRET)]:
        del os.environ[name]
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(sys.argv[1])
        Path(sys.argv[1]).chmod(0o660)
        listener.listen(1)
        listener.settimeout(AGENT_WITHIN_S)
        control, _ = listener.accept()
    control.setblocking(True)
    Path(sys.argv[1]).unlink()
    Program(control).run()


class Program:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._loop = Loop()
        self._steps = Steps(_open_again)
        self._memory = own_memory()
        self._processes = own_processes()
        self._kills_before = self._refused_before = 0
        self._forwarder: Forwarder | None = None

    def run(self) -> None:
        self._loop.on_readable(self._control, self._command)
        self._loop.on_child(self._child)
        self._loop.run()

    def _command(self) -> None:
        received = channel.receive(self._control)
        if received is None or received[0]["command"] == "end":
            self._end(heard=received is not None)
        elif received[0]["command"] == "kill":
            self._steps.kill()
        elif received[0]["command"] == "egress":
            self._forwarder = Forwarder(socket.socket(fileno=received[1][0]), self._loop)
        else:
            self._start(received[1])

    def _start(self, fds: list[int]) -> None:
        request, stdout, stderr = fds
        self._kills_before, self._refused_before = self._oom_kills(), self._refused()
        try:
            spec = json.loads(channel.read_all(request))
            if self._forwarder:
                self._forwarder.listen(spec["ports"], ())
            self._steps.start(spec, stdout, stderr)
        except (OSError, ValueError) as error:
            channel.send(self._control, {"event": "exited", "code": 1, "ran": False, "detail": str(error)})

    def _child(self) -> None:
        if ended := self._steps.reap():
            channel.send(self._control, {**ended, "hit": self._hit(ended["code"])})

    def _hit(self, code: int) -> str | None:
        if code and self._oom_kills() > self._kills_before:
            return "memory"
        return "processes" if self._refused() > self._refused_before else None

    def _end(self, *, heard: bool) -> None:
        self._steps.kill()
        self._steps.reap_all()
        if heard:
            channel.send(self._control, {"event": "ended"})
        self._loop.stop()

    def _refused(self) -> int:
        return self._processes.refused() if self._processes else 0

    def _oom_kills(self) -> int:
        return self._memory.oom_kills() if self._memory else 0


def _close_to_steps() -> None:
    """Steps have our uid: they may neither trace us nor read our memory, and gain no rights by a set-uid program."""
    for option, value in ((_PR_SET_DUMPABLE, 0), (_PR_SET_NO_NEW_PRIVS, 1)):
        if _LIBC.prctl(option, value, 0, 0, 0) != 0:
            sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")


def _open_again() -> None:
    """In the process that is to be a step, which has nothing to hide: else its own /proc/self is not writable to it."""
    _LIBC.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)


if __name__ == "__main__":
    main()
