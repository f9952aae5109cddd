"""`scalemesh up`: the whole platform on this machine. A small supervisor, stdlib only, over two children: API and edge.

It holds the API's listening socket: while the API is restarted, connections wait in the kernel's queue. The edge and
running builds outlive an API death.
"""

import argparse
import contextlib
import fcntl
import json
import os
import secrets
import selectors
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scalemesh.errors import BadSettings
from scalemesh.main import ports
from scalemesh.main.banner import Banner
from scalemesh.main.children import BAD_SETTINGS, Child, take_over
from scalemesh.settings import Settings, load

STOP_S = 4.5
_EDGE_STOP_S = 2.0  # beyond what it gives to answers under way
_DEMO_S = 60.0  # so long the banner waits for the demo's site
_OPTIONS = {"data_dir": "DATA_DIR", "host": "HOST", "api_port": "API_PORT", "edge_port": "EDGE_PORT"}


def up(*, demo: bool = False, **options: Any) -> int:
    """Becomes the supervisor: this process is replaced, so that nothing of the command line stays in memory."""
    argv = [f"--{name.replace('_', '-')}={value}" for name, value in options.items() if value is not None]
    sys.stdout.flush()
    os.execv(  # noqa: S606  that is the point
        sys.executable, [sys.executable, "-P", "-m", __name__, *argv, *(["--demo"] if demo else [])]
    )


def main() -> None:
    try:
        sys.exit(_run(_arguments()))
    except BadSettings as error:
        sys.stderr.write(f"error: {error.message} {error.hint or ''}".rstrip() + "\n")
        sys.exit(BAD_SETTINGS)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scalemesh up")
    parser.add_argument("--demo", action="store_true")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--host")
    parser.add_argument("--api-port", type=int)
    parser.add_argument("--edge-port", type=int)
    return parser.parse_args()


def _run(arguments: argparse.Namespace) -> int:
    settings = load(os.environ, **{name: getattr(arguments, name) for name in _OPTIONS})
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    run = settings.data_dir / "run"
    run.mkdir(mode=0o700, exist_ok=True)
    with _alone(run):
        for name in take_over(run):
            _say(f"ended the {name} that an earlier run had left behind")
        with ports.listen(settings) as listener:
            ports.check_edge(settings)
            return Supervisor(settings, listener, demo=arguments.demo).run()


class Supervisor:
    """Runs until SIGINT or SIGTERM, or until a child finds the settings wrong. SIGHUP ends it, too, where it comes from
    a terminal that goes away; elsewhere it is the edge's, which starts anew (`main.edge`)."""

    def __init__(self, settings: Settings, listener: socket.socket, *, demo: bool) -> None:
        self._settings = settings
        self._token = settings.setup_token or f"sms_{secrets.token_urlsafe(32)}"
        self._status, status_fd = os.pipe()
        options = [f"--listen-fd={listener.fileno()}", f"--status-fd={status_fd}", *(["--demo"] if demo else [])]
        run, env = settings.data_dir / "run", self._environment()
        self._edge = Child("edge", [], run, env)
        # The edge first: it serves what is live already from its own disk.
        self._children = [self._edge, Child("api", options, run, env, [listener.fileno(), status_fd])]
        self._selector = selectors.DefaultSelector()
        self._banner_waits = demo
        self._banner_at: float | None = None
        self._setup_link: str | None = None
        self._stopping = False
        self._exit_code = 0

    def run(self) -> int:
        self._selector.register(self._wakeup(), selectors.EVENT_READ, self._on_signal)
        self._selector.register(self._status, selectors.EVENT_READ, self._on_status)
        for child in self._children:
            self._start(child)
        while not self._stopping:
            self._round(self._next_act())
        self._stop()
        return self._exit_code

    def _environment(self) -> dict[str, str]:
        """The children read the same settings as we did, and two secrets that hold for this run."""
        s = self._settings
        given = {f"SCALEMESH_{env}": str(getattr(s, name)) for name, env in _OPTIONS.items()}
        secret = {"SCALEMESH_SETUP_TOKEN": self._token, "SCALEMESH_EDGE_TOKEN": s.edge.token or _edge_token(s.data_dir)}
        return {**os.environ, **given, **secret}

    def _wakeup(self) -> socket.socket:
        """Readable after a signal: the handlers have nothing to do but to exist."""
        self._woken, waker = socket.socketpair()
        waker.setblocking(False)
        signal.set_wakeup_fd(waker.detach())
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        return self._woken

    def _start(self, child: Child) -> None:
        child.start()
        self._selector.register(child.pidfd, selectors.EVENT_READ, lambda: self._on_end(child))

    def _round(self, until: float | None) -> None:
        timeout = None if until is None else max(0.0, until - time.monotonic())
        for key, _ in self._selector.select(timeout):
            key.data()
        now = time.monotonic()
        for child in self._children:
            if child.restart_at is not None and child.restart_at <= now and not self._stopping:
                self._start(child)
        if self._banner_at is not None and self._banner_at <= now:
            self._show_banner(None)

    def _next_act(self) -> float | None:
        due = [self._banner_at, *(child.restart_at for child in self._children)]
        return min((at for at in due if at is not None), default=None)

    def _on_signal(self) -> None:
        numbers = set(self._woken.recv(64))
        if numbers == {signal.SIGHUP} and not os.isatty(0):
            self._edge.signal(signal.SIGHUP)
            return
        if self._stopping:  # the second Ctrl-C: at once
            for child in self._children:
                child.signal(signal.SIGKILL)
        self._stopping = True

    def _on_end(self, child: Child) -> None:
        self._selector.unregister(child.pidfd)
        status = child.ended()
        if self._stopping:
            return
        if status == BAD_SETTINGS and not child.has_been_steady:  # it has said why; to start it again would not help
            self._stopping, self._exit_code = True, BAD_SETTINGS
            return
        pause_s = (child.restart_at or 0) - time.monotonic()
        _say(f"the {child.name} process ended ({_how(status)}); starting it again in {pause_s:.1f} s")

    def _on_status(self) -> None:
        """What the API reports, one JSON object a line: `ready` at every start, `demo` once."""
        for line in os.read(self._status, 65536).splitlines():
            message = json.loads(line)
            if "ready" in message and self._banner_at is None and self._setup_link is None:
                self._on_ready(needs_setup=message["needs_setup"])
            elif "demo" in message:
                self._show_banner(message["demo"])

    def _on_ready(self, *, needs_setup: bool) -> None:
        self._setup_link = f"{self._settings.url}/setup?token={self._token}" if needs_setup else ""
        if self._banner_waits:
            self._banner_at = time.monotonic() + _DEMO_S
        else:
            self._show_banner(None)

    def _show_banner(self, live_site: str | None) -> None:
        self._banner_at = None
        banner = Banner(self._settings.url, str(self._settings.data_dir), self._setup_link, live_site)
        sys.stdout.write(str(banner))
        sys.stdout.flush()

    def _stop(self) -> None:
        """All at once; by force what has not ended in time."""
        for child in self._children:
            child.restart_at = None
            child.signal(signal.SIGTERM)
        deadline = time.monotonic() + max(STOP_S, self._settings.edge.drain_s + _EDGE_STOP_S)
        while any(child.is_running for child in self._children):
            self._round(deadline)
            if time.monotonic() >= deadline:
                for child in self._children:
                    child.signal(signal.SIGKILL)
                deadline += 1


@contextlib.contextmanager
def _alone(run: Path) -> Iterator[None]:
    """One supervisor per data folder; the lock goes with the process, however it ends."""
    with (run / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BadSettings(
                f"Scale Mesh runs over {run.parent} already.",
                hint="Stop that one, or choose another folder with --data-dir or SCALEMESH_DATA_DIR.",
            ) from None
        yield


def _edge_token(data_dir: Path) -> str:
    """The local edge's token; kept, because the edge outlives us if we are killed."""
    path = data_dir / "edge.token"
    if not path.exists():
        fresh = path.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(f"sme_{secrets.token_urlsafe(32)}")
        fresh.replace(path)
    return path.read_text()


def _how(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"status {status}"


def _say(text: str) -> None:
    sys.stderr.write(f"scalemesh: {text}\n")


if __name__ == "__main__":
    main()
